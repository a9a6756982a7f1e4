/* jansson with checked getters (its own json_decrefp() is the cleanup). Integers beyond 2^63-1 ("infinity") travel as
 * null. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* null for UINT64_MAX, else an integer (capped at INT64_MAX). */
json_t *json_from_u64(uint64_t value);
/* A JSON string of any bytes: what is not UTF-8 is escaped as \xNN. NULL gives null. */
json_t *json_from_text(const char *text);

/* 0, -ENOENT when the key is missing, -EINVAL when it has another type. null reads as UINT64_MAX. */
int json_get_u64(const json_t *object, const char *key, uint64_t *ret);
int json_get_int(const json_t *object, const char *key, int *ret);
int json_get_bool(const json_t *object, const char *key, bool *ret);
/* Points into object. null reads as -ENOENT. */
int json_get_text(const json_t *object, const char *key, const char **ret);
/*
 * json_loadb(3) of text that has each key once. 0, -EINVAL (no JSON), -ENOMEM. jansson 2.14 goes on when it is out of
 * memory in the middle of a word, with one letter less; here its allocator is watched. Not for threads.
 */
int json_parse(const char *text, size_t size, json_t **ret);
/* Compact text; NULL on OOM. Caller frees. */
char *json_to_text(const json_t *object);
/* The same for people, indented by two. */
char *json_to_lines(const json_t *object);
