/* test_complete.c - fields that a message lacks come where its header section ends */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "smtpd/complete.h"

static const struct complete_texts nothing, all = {{"Date: d\r\n", "Message-ID: m\r\n", "From: f\r\n"}};

#define D "Date: d\r\n"
#define M "Message-ID: m\r\n"
#define F "From: f\r\n"

static const struct {
  const char *in, *completed, *plain; /* what comes of it with and without fields to put in */
} rows[] = {
  {"", D M F, ""},
  {"\r\nbody\r\n", D M F "\r\nbody\r\n", "\r\nbody\r\n"},
  {"A: b\r\n\r\nbody\r\n", "A: b\r\n" D M F "\r\nbody\r\n", "A: b\r\n\r\nbody\r\n"},
  {"A: b\r\n", "A: b\r\n" D M F, "A: b\r\n"},
  {"date: x\r\nFROM : y\r\nmessage-id:\r\n\r\n", "date: x\r\nFROM : y\r\nmessage-id:\r\n\r\n",
   "date: x\r\nFROM : y\r\nmessage-id:\r\n\r\n"},
  {"Date-: x\r\nXFrom: y\r\nFro: z\r\n from: n\r\n\r\n", "Date-: x\r\nXFrom: y\r\nFro: z\r\n from: n\r\n" D M F "\r\n",
   "Date-: x\r\nXFrom: y\r\nFro: z\r\n from: n\r\n\r\n"},
  {"A: b\r\n\r\nDate: x\r\n", "A: b\r\n" D M F "\r\nDate: x\r\n", "A: b\r\n\r\nDate: x\r\n"},
  /* no header field: the body begins there */
  {"hello\r\nworld\r\n", D M F "\r\nhello\r\nworld\r\n", "\r\nhello\r\nworld\r\n"},
  {" hello: x\r\n\r\n", D M F "\r\n hello: x\r\n\r\n", "\r\n hello: x\r\n\r\n"},
  {": x\r\n", D M F "\r\n: x\r\n", "\r\n: x\r\n"},
  {"\xc3\xbc: x\r\n", D M F "\r\n\xc3\xbc: x\r\n", "\r\n\xc3\xbc: x\r\n"},
  {"a b: x\r\n", D M F "\r\na b: x\r\n", "\r\na b: x\r\n"},
  {"A: b\r\nhello there\r\n\r\n", "A: b\r\n" D M F "\r\nhello there\r\n\r\n", "A: b\r\nhello there\r\n\r\n"},
  /* a mailbox's line at the top */
  {"From a@b Mon\r\nA: b\r\n\r\n", "From a@b Mon\r\nA: b\r\n" D M F "\r\n", "From a@b Mon\r\nA: b\r\n\r\n"},
  {">From a@b Mon\r\nA: b\r\n\r\n", ">From a@b Mon\r\nA: b\r\n" D M F "\r\n", ">From a@b Mon\r\nA: b\r\n\r\n"},
  {"A: b\r\nFrom a@b Mon\r\n\r\n", "A: b\r\n" D M F "\r\nFrom a@b Mon\r\n\r\n", "A: b\r\nFrom a@b Mon\r\n\r\n"},
};

static size_t run(const struct complete_texts *t, const char *in, size_t len, size_t piece, char *out)
{
  struct complete c = {.state = COMPLETE_LINE};
  size_t n = 0;

  for (size_t at = 0; at < len; at += piece)
    n += complete_scan(&c, t, in + at, len - at < piece ? len - at : piece, out + n);
  return n + complete_end(&c, t, out + n);
}

static void lines(void **state)
{
  char out[4096];

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    size_t len = strlen(rows[i].in), n;
    for (size_t piece = 1; piece <= len + 1; piece++) {
      n = run(&nothing, rows[i].in, len, piece, out);
      assert_int_equal(n, strlen(rows[i].plain));
      assert_memory_equal(out, rows[i].plain, n);
      n = run(&all, rows[i].in, len, piece, out);
      assert_int_equal(n, strlen(rows[i].completed));
      assert_memory_equal(out, rows[i].completed, n);
    }
  }
}

static void long_names(void **state)
{
  char in[400], out[4096];

  (void)state;
  for (size_t name = 1; name < 200; name++) {
    memset(in, 'x', sizeof in);
    in[name] = ':';
    memcpy(in + sizeof in - 4, "\r\n\r\n", 4);
    assert_int_equal(run(&nothing, in, sizeof in, 7, out), sizeof in + (name > COMPLETE_HOLD ? 2 : 0));
    assert_int_equal(run(&all, in, sizeof in, 7, out),
                     sizeof in + strlen(D M F) + (name > COMPLETE_HOLD ? 2 : 0));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(long_names)};

  return cmocka_run_group_tests_name("complete", tests, NULL, NULL);
}
