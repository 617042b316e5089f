/* test_content.c - what a message's bytes are, in one chunk and in every split */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/content.h"

#define FLAG_8H 1
#define FLAG_8B 2
#define FLAG_DOT 4
#define FLAG_NUL 8
#define FLAG_CR 16
#define FLAG_LF 32
#define FLAG_OPEN 64 /* the last line is not complete */

struct row {
  const char *name, *s;
  size_t len;
  unsigned int flags, header, longest, received;
};

#define ROW(name, s, flags, header, longest, received) \
  {name, s, sizeof(s) - 1, flags, header, longest, received}

static const struct row rows[] = {
  ROW("empty", "", 0, 0, 0, 0),
  ROW("header only", "A: b\r\n", 0, 6, 4, 0),
  ROW("header and body", "A: b\r\n\r\nlonger\r\n", 0, 8, 6, 0),
  ROW("no header", "\r\nbody\r\n", 0, 2, 4, 0),
  ROW("two empty lines", "\r\n\r\nReceived: x\r\n", 0, 2, 11, 0),
  ROW("8-bit header", "A: \xc3\xa4\r\n\r\nx\r\n", FLAG_8H, 9, 5, 0),
  ROW("8-bit body", "A: b\r\n\r\n12345678\xe4\r\n", FLAG_8B, 8, 9, 0),
  ROW("8-bit in the first of eight", "\r\n\xe4" "2345678\r\n", FLAG_8B, 2, 8, 0),
  ROW("dot line in the body", "A: b\r\n\r\n.\r\n", FLAG_DOT, 8, 4, 0),
  ROW("dot line in the header", ".A: b\r\n\r\n", FLAG_DOT, 9, 5, 0),
  ROW("dot inside", "A: .\r\n\r\nx.\r\n", 0, 8, 4, 0),
  ROW("NUL", "A: b\r\n\r\nx\0y\r\n", FLAG_NUL, 8, 4, 0),
  ROW("bare CR", "A: b\r\n\r\nx\ry\r\n", FLAG_CR, 8, 4, 0),
  ROW("bare CR at the end", "A: b\r\n\r\nx\r", FLAG_CR | FLAG_OPEN, 8, 4, 0),
  ROW("CR CR LF", "\r\nx\r\r\n", FLAG_CR, 2, 2, 0),
  ROW("bare LF", "A: b\r\n\r\nx\ny\r\n", FLAG_LF, 8, 4, 0),
  ROW("LF dot is no line start", "\r\nx\n.\r\n", FLAG_LF, 2, 3, 0),
  ROW("LF CR", "\r\nx\n\ry\r\n", FLAG_LF | FLAG_CR, 2, 4, 0),
  ROW("LF LF ends no header", "A: b\n\nx\r\n", FLAG_LF, 9, 7, 0),
  ROW("open last line", "A: b\r\n\r\nx", FLAG_OPEN, 8, 4, 0),
  ROW("received", "Received: x\r\nRECEIVED : y\r\nreceived\t:\r\n\r\nReceived: z\r\n", 0, 41, 12, 3),
  ROW("not received", "Received-SPF: x\r\n Received: y\r\nX-Received: z\r\nReceive: a\r\n\r\n", 0,
      60, 15, 0),
};

static unsigned int flags_of(const struct content *c)
{
  return (c->has_8bit_header ? FLAG_8H : 0) | (c->has_8bit_body ? FLAG_8B : 0) |
         (c->has_dot_line ? FLAG_DOT : 0) | (c->has_nul ? FLAG_NUL : 0) |
         (c->has_bare_cr ? FLAG_CR : 0) | (c->has_bare_lf ? FLAG_LF : 0) |
         (c->ends_line ? 0 : FLAG_OPEN);
}

static void check(const struct row *r, const struct content *c)
{
  if (flags_of(c) != r->flags || c->header_size != r->header || c->longest != r->longest ||
      c->received != r->received || c->size != r->len)
    fail_msg("%s: flags %u header %u longest %u received %u", r->name, flags_of(c),
             (unsigned int)c->header_size, c->longest, c->received);
}

static void test_rows(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct content c;
    content_start(&c);
    content_scan(&c, rows[i].s, rows[i].len);
    content_end(&c);
    check(&rows[i], &c);
  }
}

/* every way to cut a row in three, and byte by byte */
static void test_splits(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct row *r = &rows[i];
    struct content c;
    for (size_t a = 0; a <= r->len; a++)
      for (size_t b = a; b <= r->len; b++) {
        content_start(&c);
        content_scan(&c, r->s, a);
        content_scan(&c, r->s + a, b - a);
        content_scan(&c, r->s + b, r->len - b);
        content_end(&c);
        check(r, &c);
      }
    content_start(&c);
    for (size_t a = 0; a < r->len; a++)
      content_scan(&c, r->s + a, 1);
    content_end(&c);
    check(r, &c);
  }
}

static void test_long_line(void **state)
{
  static char block[65536];
  struct content c;

  (void)state;
  memset(block, 'x', sizeof block);
  content_start(&c);
  for (int i = 0; i < 10; i++)
    content_scan(&c, block, sizeof block);
  content_scan(&c, "\r\n", 2);
  content_end(&c);
  assert_int_equal(c.longest, 10 * sizeof block);
  assert_true(c.ends_line);
  assert_true(c.in_header);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_rows),
    cmocka_unit_test(test_splits),
    cmocka_unit_test(test_long_line),
  };
  return cmocka_run_group_tests_name("content", tests, NULL, NULL);
}
