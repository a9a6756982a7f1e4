/* Requests taken apart: one reading, or none. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "status/http-parse.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static void assert_refused(const char *text, int result) {
        _cleanup_(http_target_deinit) HttpTarget target = { .text = NULL };

        assert_int_equal(http_target_parse(text, &target), result);
        assert_null(target.text);
}

static void assert_path(const char *text, const char *path) {
        _cleanup_(http_target_deinit) HttpTarget target = { .text = NULL };

        assert_int_equal(http_target_parse(text, &target), 0);
        assert_string_equal(target.path, path);
}

static void a_path_is_decoded_once(void **state) {
        assert_path("/", "/");
        assert_path("/api/runs/SDA-42", "/api/runs/SDA-42");
        assert_path("/api/runs/a%20b", "/api/runs/a b");
        assert_path("/api/runs/%2541", "/api/runs/%41");
        assert_path("/api/runs/caf%C3%A9", "/api/runs/caf\xc3\xa9");
        assert_path("/api/runs/a+b", "/api/runs/a+b");
        assert_path("/api/runs/...", "/api/runs/...");
}

static void a_path_that_climbs_is_refused(void **state) {
        assert_refused("/..", HTTP_PARSE_E_PATH);
        assert_refused("/schema/../../etc/passwd", HTTP_PARSE_E_PATH);
        assert_refused("/schema/%2e%2e/x", HTTP_PARSE_E_PATH);
        assert_refused("/schema/..%2f..%2fetc", HTTP_PARSE_E_PATH);
        assert_refused("/./api", HTTP_PARSE_E_PATH);
        assert_refused("/api/.", HTTP_PARSE_E_PATH);
}

static void what_is_no_path_is_refused(void **state) {
        static const char *const texts[] = { "", "*", "api", "http://evil.example/", "?limit=1", "/%", "/%4", "/%zz",
                "/%00", "/a%0ab", "/a\x7f", "/\xff", "/%ff%fe", "/%c0%af", "/a\tb" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                assert_refused(texts[i], HTTP_PARSE_E_PATH);
}

static void a_query_is_names_and_values(void **state) {
        _cleanup_(http_target_deinit) HttpTarget target = { .text = NULL };

        assert_int_equal(http_target_parse("/api/runs?limit=5&analysis_id=a%26b+c&&state", &target), 0);
        assert_string_equal(target.path, "/api/runs");
        assert_int_equal(target.n_members, 3);
        assert_string_equal(target.members[0].name, "limit");
        assert_string_equal(target.members[0].value, "5");
        assert_string_equal(target.members[1].value, "a&b c");
        assert_string_equal(target.members[2].name, "state");
        assert_string_equal(target.members[2].value, "");
}

static void a_query_that_is_unclear_is_refused(void **state) {
        assert_refused("/a?limit=1&limit=2", HTTP_PARSE_E_QUERY);
        assert_refused("/a?limit=1&li%6dit=2", HTTP_PARSE_E_QUERY);
        assert_refused("/a?x=%0d%0aSet-Cookie", HTTP_PARSE_E_QUERY);
        assert_refused("/a?x=%00", HTTP_PARSE_E_QUERY);
        assert_refused("/a?%ff=1", HTTP_PARSE_E_QUERY);
        assert_refused("/a?1&2&3&4&5&6&7&8&9", HTTP_PARSE_E_QUERY);
}

static void a_target_has_an_end(void **state) {
        char text[HTTP_TARGET_MAX + 2];

        memset(text, 'a', sizeof(text));
        text[0] = '/';
        text[HTTP_TARGET_MAX + 1] = '\0';
        assert_refused(text, HTTP_PARSE_E_LONG);
        text[HTTP_TARGET_MAX] = '\0';
        assert_path(text, text);
}

static const char *const hosts[] = { "status.example", "scidex" };

static bool is_ours(const char *host, const char *address, uint16_t port) {
        struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

        if (inet_pton(AF_INET, address, &four.sin_addr) == 1)
                return http_host_is_ours(host, (struct sockaddr *)&four, hosts, ELEMENTSOF(hosts));
        assert_int_equal(inet_pton(AF_INET6, address, &six.sin6_addr), 1);
        return http_host_is_ours(host, (struct sockaddr *)&six, hosts, ELEMENTSOF(hosts));
}

static void our_own_names_are_ours(void **state) {
        assert_true(is_ours("127.0.0.1:8787", "127.0.0.1", 8787));
        assert_true(is_ours("127.0.0.1", "127.0.0.1", 8787));
        assert_true(is_ours("localhost:8787", "127.0.0.1", 8787));
        assert_true(is_ours("LOCALHOST.", "127.0.0.1", 8787));
        assert_true(is_ours("[::1]:8787", "::1", 8787));
        assert_true(is_ours("[0:0:0:0:0:0:0:1]", "::1", 8787));
        assert_true(is_ours("127.0.0.1:8787", "::ffff:127.0.0.1", 8787));
        assert_true(is_ours("Status.Example", "127.0.0.1", 8787));
        assert_true(is_ours("scidex:443", "127.0.0.1", 8787));
}

static void any_other_name_is_not(void **state) {
        static const char *const names[] = { "", ":8787", "evil.example", "evil.example:8787", "127.0.0.1:80",
                "127.0.0.1:8787x", "127.0.0.1.evil.example", "localhost.evil.example", "localhostx", "[127.0.0.1]x",
                "[::1]:8787", "[::1", "127.0.0.2:8787", "status.example.evil", "0x7f.1", "2130706433", "@127.0.0.1",
                "a@127.0.0.1", "127.0.0.1 evil", "localhost:8787:1" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (is_ours(names[i], "127.0.0.1", 8787))
                        fail_msg("%s is taken for a name of ours", names[i]);
        assert_false(is_ours("::1", "::1", 8787));
        assert_false(is_ours("[::2]", "::1", 8787));
}

static void a_header_has_a_name_without_blanks(void **state) {
        assert_true(http_is_token("Transfer-Encoding"));
        assert_true(http_is_token("x!#$%&'*+-.^_`|~9"));
        assert_false(http_is_token(""));
        assert_false(http_is_token("Transfer-Encoding "));
        assert_false(http_is_token(" Host"));
        assert_false(http_is_token("Transfer\tEncoding"));
        assert_false(http_is_token("Host\xc3\xa9"));
        assert_false(http_is_token("a:b"));
}

static void gzip_is_sent_to_whom_it_pleases(void **state) {
        assert_true(http_accepts_gzip("gzip"));
        assert_true(http_accepts_gzip("br, GZIP;q=0.5"));
        assert_true(http_accepts_gzip("*"));
        assert_false(http_accepts_gzip(NULL));
        assert_false(http_accepts_gzip(""));
        assert_false(http_accepts_gzip("br"));
        assert_false(http_accepts_gzip("gzip;q=0"));
        assert_false(http_accepts_gzip("gzip; q=0.0, *"));
        assert_false(http_accepts_gzip("xgzip, gzipx"));
        assert_true(http_accepts_gzip("gzip;\v"));
        assert_true(http_accepts_gzip("gzip;x;\f;q=0.1"));
}

static void the_most_exact_range_counts(void **state) {
        assert_int_equal(http_accept_quality(NULL, "text/html"), 1000);
        assert_int_equal(http_accept_quality("", "text/html"), 1000);
        assert_int_equal(http_accept_quality("text/html", "text/html"), 1000);
        assert_int_equal(http_accept_quality("text/*;q=0.3, text/html;q=0.7, */*;q=0.1", "text/html"), 700);
        assert_int_equal(http_accept_quality("text/*;q=0.3, text/html;q=0.7, */*;q=0.1", "text/plain"), 300);
        assert_int_equal(http_accept_quality("text/*;q=0.3, text/html;q=0.7, */*;q=0.1", "image/png"), 100);
        assert_int_equal(http_accept_quality(
                                 "application/openmetrics-text; version=1.0.0; q=0.8", "application/openmetrics-text"),
                800);
        assert_int_equal(http_accept_quality("text/plain", "text/html"), 0);
        assert_int_equal(http_accept_quality("text/html;q=7", "text/html"), 1000);
        assert_int_equal(http_accept_quality(";;;,,;q=", "text/html"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_path_is_decoded_once),
                cmocka_unit_test(a_path_that_climbs_is_refused),
                cmocka_unit_test(what_is_no_path_is_refused),
                cmocka_unit_test(a_query_is_names_and_values),
                cmocka_unit_test(a_query_that_is_unclear_is_refused),
                cmocka_unit_test(a_target_has_an_end),
                cmocka_unit_test(our_own_names_are_ours),
                cmocka_unit_test(any_other_name_is_not),
                cmocka_unit_test(a_header_has_a_name_without_blanks),
                cmocka_unit_test(gzip_is_sent_to_whom_it_pleases),
                cmocka_unit_test(the_most_exact_range_counts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
