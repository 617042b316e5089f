/* test_reply.c - replies of peers, whole and in pieces (LADDER.md 3.2, 3.3) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "deliver/reply.h"

#define LONG400                                                                                   \
  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
  const char *row, *bytes;
  size_t len; /* 0: strlen */
  enum reply_state state;
  unsigned int code;
  const char *text; /* NULL: not looked at */
  size_t left;      /* bytes after the reply */
} cases[] = {
  {"B1", "220 mx.example ESMTP\r\n", 0, REPLY_WHOLE, 220, "mx.example ESMTP", 0},
  {"B2", "220-one\r\n220-two\r\n220 three\r\n", 0, REPLY_WHOLE, 220, "one\ntwo\nthree", 0},
  {"B10", "220\r\n", 0, REPLY_WHOLE, 220, "", 0},
  {"B10", "220 \r\n", 0, REPLY_WHOLE, 220, "", 0},
  {"B12", "hello\r\n\r\n220 mx\r\n", 0, REPLY_WHOLE, 220, "mx", 0},
  {"B12", "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n9\r\n", 0, REPLY_GARBLED, 0, NULL, 0},
  {"B13", "SSH-2.0-OpenSSH_9.2\r\n", 0, REPLY_FOREIGN, 0, "SSH-2.0-OpenSSH_9.2", 0},
  {"B13", "HTTP/1.1 400 Bad Request\r\n", 0, REPLY_FOREIGN, 0, NULL, 0},
  {"A10", "\x15\x03\x01\x00\x02\x02\x46", 7, REPLY_FOREIGN, 0, NULL, 0},
  {"B14", "220 a\0b\x01\xff\r\n", 11, REPLY_WHOLE, 220, "a?b??", 0},
  {"B15", "220 mx", 0, REPLY_MORE, 0, NULL, 0},
  {"B17", "220-a\n220 b\n", 0, REPLY_WHOLE, 220, "a\nb", 0},
  {"B18", "220 " LONG400 LONG400 LONG400 "\r\n", 0, REPLY_WHOLE, 220, LONG400 LONG400 LONG400, 0},
  {"E12", "250-mx\r\n", 0, REPLY_MORE, 250, "mx", 0},
  {"E16", "250-\r\n250 SIZE 10\r\n", 0, REPLY_WHOLE, 250, "\nSIZE 10", 0},
  {"E16", "250-\r\n250-\r\n250 SIZE\r\n", 0, REPLY_WHOLE, 250, "\n\nSIZE", 0},
  {"E21", "250-mx\r\n550 no\r\n", 0, REPLY_WHOLE, 550, "mx\nno", 0},
  {"E21", "550-mx\r\n250 yes\r\n", 0, REPLY_GARBLED, 250, NULL, 0},
  {"E22", "250-mx\r\ngarbage\r\n250 SIZE\r\n", 0, REPLY_WHOLE, 250, "mx\nSIZE", 0},
  {"E23", "EHLO our.example\r\n", 0, REPLY_FOREIGN, 0, NULL, 0},
  {"E24", "250 gr\xc3\xbc\xc3\x9f\r\n", 0, REPLY_WHOLE, 250, "gr????", 0},
  {"B8", "354 go\r\n", 0, REPLY_WHOLE, 354, "go", 0},
  {"B8", "120 wait\r\n", 0, REPLY_GARBLED, 120, NULL, 0},
  {"-", "999 x\r\n", 0, REPLY_GARBLED, 999, NULL, 0},
  {"-", "2500 x\r\n250 y\r\n", 0, REPLY_WHOLE, 250, "y", 0},
  {"-", "250\ttab\r\n", 0, REPLY_WHOLE, 250, "tab", 0},
  {"-", "250 one\r\n354 two\r\n", 0, REPLY_WHOLE, 250, "one", 9},
};

static size_t feed(struct reply *r, const char *s, size_t len, size_t piece,
                   enum reply_state *state)
{
  size_t at = 0;

  reply_start(r);
  *state = REPLY_MORE;
  while (at < len && *state == REPLY_MORE)
    at += reply_feed(r, s + at, len - at < piece ? len - at : piece, state);
  return at;
}

static void test_replies(void **state)
{
  static struct reply r;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t piece = 1; piece < 40; piece++) {
      size_t len = cases[i].len ? cases[i].len : strlen(cases[i].bytes);
      enum reply_state s;
      size_t used = feed(&r, cases[i].bytes, len, piece, &s);
      if (s != cases[i].state || (cases[i].text && strcmp(r.text, cases[i].text) != 0) ||
          (s == REPLY_WHOLE && (r.code != cases[i].code || len - used != cases[i].left)))
        fail_msg("%s case %zu piece %zu: state %d code %u text \"%s\" left %zu", cases[i].row, i,
                 piece, s, r.code, r.text, len - used);
    }
}

/* no line end, no bound of its own: the parser's bounds hold */
static void test_endless(void **state)
{
  static struct reply r;
  static char big[REPLY_BYTES + 10];
  enum reply_state s = REPLY_MORE;
  int lines = 0;

  (void)state;
  reply_start(&r);
  while (s == REPLY_MORE) {
    assert_int_equal(reply_feed(&r, "250-SIZE 1000\r\n", 15, &s), 15);
    lines++;
  }
  assert_int_equal(s, REPLY_ENDLESS);
  assert_int_equal(lines, REPLY_LINES + 1);
  memset(big, 'x', sizeof big);
  feed(&r, big, sizeof big, 4096, &s);
  assert_int_equal(s, REPLY_ENDLESS);
  assert_true(r.len <= REPLY_TEXT);
}

static void test_bounded_text(void **state)
{
  static struct reply r;
  static char line[2100];
  enum reply_state s = REPLY_MORE;

  (void)state;
  memset(line, 'y', sizeof line);
  memcpy(line, "250-", 4);
  memcpy(line + sizeof line - 2, "\r\n", 2);
  reply_start(&r);
  for (int i = 0; i < 20; i++)
    reply_feed(&r, line, sizeof line, &s);
  reply_feed(&r, "250 end\r\n", 9, &s);
  assert_int_equal(s, REPLY_WHOLE);
  assert_int_equal(r.len, REPLY_TEXT);
  assert_int_equal(strlen(r.text), REPLY_TEXT);
}

static void test_format(void **state)
{
  static struct reply r;
  enum reply_state s;
  stralloc out = {0};
  char status[REPLY_STATUS];

  (void)state;
  feed(&r, "550-5.1.1 no\r\n550 such\tuser\r\n", 29, 100, &s);
  assert_int_equal(reply_format(&out, &r, 100), 0);
  assert_int_equal(out.len, strlen("550 5.1.1 no such user"));
  assert_memory_equal(out.s, "550 5.1.1 no such user", out.len);
  assert_int_equal(reply_status(&r, status), 1);
  assert_string_equal(status, "5.1.1");
  out.len = 0;
  assert_int_equal(reply_format(&out, &r, 9), 0);
  assert_int_equal(out.len, 9);
  out.len = 0;
  reply_start(&r); /* nothing was said: an empty text, not a missing one */
  assert_int_equal(reply_format(&out, &r, 100), 0);
  assert_int_equal(out.len, 0);
  assert_string_equal(r.text, "");
  free(out.s);
}

static void test_status(void **state)
{
  static const struct {
    const char *line, *status;
  } c[] = {{"550 5.7.1 x", "5.7.1"}, {"550 4.7.1 x", ""},    {"550 5.7.1", "5.7.1"},
           {"450 4.7.123 x", "4.7.123"}, {"450 4.7.1234 x", ""}, {"550 5.7 x", ""},
           {"550 5..1 x", ""},       {"550", ""},            {"550 5.7.1x", ""}};
  static struct reply r;

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char line[64], status[REPLY_STATUS];
    enum reply_state s;
    size_t n = (size_t)snprintf(line, sizeof line, "%s\r\n", c[i].line);
    feed(&r, line, n, n, &s);
    assert_int_equal(reply_status(&r, status), c[i].status[0] != 0);
    assert_string_equal(status, c[i].status);
  }
}

static void test_names_argument(void **state)
{
  static const struct {
    const char *line;
    int yes;
  } c[] = {{"501 Invalid Address", 1},
           {"504 what", 1},
           {"550 we do not like our.example", 1},
           {"550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", 1},
           {"554 5.7.1 you are on a blocklist", 0},
           {"550 Huh?", 0}};
  static struct reply r;

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char line[100];
    enum reply_state s;
    size_t n = (size_t)snprintf(line, sizeof line, "%s\r\n", c[i].line);
    feed(&r, line, n, n, &s);
    if (reply_names_argument(&r, "our.example") != c[i].yes)
      fail_msg("%s", c[i].line);
  }
}

static void test_too_many(void **state)
{
  static const struct {
    const char *line;
    int yes;
  } c[] = {{"452 4.5.3 Too many recipients", 1},
           {"552 5.5.3 no more", 1},
           {"452 4.5.3 mailbox full of them", 1},
           {"552 Requested mail action aborted", 1},
           {"452", 1},
           {"552 too many recipients of this full mailbox", 1},
           {"452 4.3.0 Too many recipients for now", 1},
           {"552 5.2.2 mailbox full", 0},
           {"452 4.2.2 over quota", 0},
           {"552 Mailbox full", 0},
           {"552 user is over quota", 0},
           {"452 insufficient system storage", 0},
           {"452 4.3.1 please wait", 0}};
  static struct reply r;

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char line[100];
    enum reply_state s;
    size_t n = (size_t)snprintf(line, sizeof line, "%s\r\n", c[i].line);
    feed(&r, line, n, n, &s);
    if (reply_may_be_too_many(&r) != c[i].yes)
      fail_msg("%s", c[i].line);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_replies),      cmocka_unit_test(test_endless),
    cmocka_unit_test(test_bounded_text), cmocka_unit_test(test_format),
    cmocka_unit_test(test_status),       cmocka_unit_test(test_names_argument),
    cmocka_unit_test(test_too_many)};

  return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
