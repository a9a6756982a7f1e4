/*
 * What comes in a request, divided by lines "----": target, Host, Accept-Encoding, Accept.
 *
 * A target that is taken is a path of ours, clean, and does not climb; what it is made of is found again in what came.
 */
#include "base/cleanup.h"
#include "base/parse.h"
#include "status/http-parse.h"
#include "tests/fuzz/fuzz.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static void assert_clean(const char *text) {
        for (const char *p = text; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        fuzz_fail("a control character got through");
        if (!text_is_utf8(text))
                fuzz_fail("bytes that are no text got through");
}

static void assert_does_not_climb(const char *path) {
        _cleanup_(freep) char *copy = strdup(path);
        char *rest = copy, *part;

        while (copy && (part = strsep(&rest, "/")))
                if (strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
                        fuzz_fail("a path climbs");
}

static void try_target(const char *text) {
        _cleanup_(http_target_deinit) HttpTarget target = { .text = NULL };
        const char *rest = NULL;
        const HttpRoute *route;

        if (http_target_parse(text, &target) != 0) {
                if (target.text)
                        fuzz_fail("a refusal leaves something behind");
                return;
        }
        if (*text != '/' || target.path[0] != '/' || strlen(text) > HTTP_TARGET_MAX)
                fuzz_fail("a target that is no path");
        assert_clean(target.path);
        assert_does_not_climb(target.path);
        for (size_t i = 0; i < target.n_members; i++) {
                assert_clean(target.members[i].name);
                assert_clean(target.members[i].value);
                for (size_t j = 0; j < i; j++)
                        if (strcmp(target.members[i].name, target.members[j].name) == 0)
                                fuzz_fail("a member comes twice");
        }
        route = router_find(target.path, &rest);
        if (route && (rest < target.path || rest > target.path + strlen(target.path)))
                fuzz_fail("the rest of a path lies elsewhere");
}

static void try_host(const char *text) {
        static const char *const hosts[] = { "status.example" };
        struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(8787) };
        struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(8787), .sin6_addr = in6addr_loopback };

        four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (http_host_is_ours(text, (struct sockaddr *)&four, hosts, 1) && strncmp(text, "127.0.0.1", 9) != 0 &&
                strncasecmp(text, "localhost", 9) != 0 && strncasecmp(text, hosts[0], strlen(hosts[0])) != 0 &&
                *text != '[')
                fuzz_fail("somebody else's name");
        (void)http_host_is_ours(text, (struct sockaddr *)&six, hosts, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(freep) char *text = fuzz_text(bytes, size);
        char *rest = text;

        try_target(fuzz_part(&rest));
        try_host(fuzz_part(&rest));
        (void)http_accepts_gzip(fuzz_part(&rest));
        if (http_accept_quality(fuzz_part(&rest), "text/html") > 1000)
                fuzz_fail("better than best");
        (void)http_is_token(text ? text : "");
        return 0;
}
