/* What the targets share. Each is one function that libFuzzer calls with bytes of its own invention. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* The bytes as a text, which ends at their first NUL. Caller frees. */
char *fuzz_text(const uint8_t *bytes, size_t size);

/* Takes the next of n texts that are divided by a line "----" (as in the corpus), "" when there is none. Borrowed. */
const char *fuzz_part(char **rest);

/* Ends the program, which is a finding. */
void fuzz_fail(const char *what) __attribute__((noreturn));

/* What is shown to people: no control character but newlines, no mark that reverses the line, only UTF-8. */
void fuzz_assert_harmless(const char *shown);
