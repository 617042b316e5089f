/* test_enddata.c - only CR LF . CR LF ends a message, however it arrives */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "smtpd/enddata.h"

enum marks { CLEAN = 0, CR = 1, LF = 2, NUL = 4 };

static const struct {
  const char *in;
  size_t inlen; /* 0: strlen */
  const char *out;
  size_t outlen;
  int is_over;
  size_t left; /* bytes of `in` behind the end */
  int marks;
} rows[] = {
  {".\r\n", 0, "", 0, 1, 0, CLEAN},
  {"a\r\n.\r\n", 0, "a\r\n", 0, 1, 0, CLEAN},
  {"a\r\n.\r\nQUIT\r\n", 0, "a\r\n", 0, 1, 6, CLEAN},
  {"a\r\n..\r\n.\r\n", 0, "a\r\n.\r\n", 0, 1, 0, CLEAN},
  {"a\r\n...b\r\n.\r\n", 0, "a\r\n..b\r\n", 0, 1, 0, CLEAN},
  {"a\r\n.b\r\n.\r\n", 0, "a\r\nb\r\n", 0, 1, 0, CLEAN},
  {"\r\n.\r\n", 0, "\r\n", 0, 1, 0, CLEAN},
  {"a.\r\n.\r\n", 0, "a.\r\n", 0, 1, 0, CLEAN},
  {"a", 0, "a", 0, 0, 0, CLEAN},
  /* what others take for an end */
  {"a\n.\nQUIT\r\n.\r\n", 0, "a\n.\nQUIT\r\n", 0, 1, 0, LF},
  {"a\r\n.\nQUIT\r\n.\r\n", 0, "a\r\n\nQUIT\r\n", 0, 1, 0, LF},
  {"a\n.\r\nQUIT\r\n.\r\n", 0, "a\n.\r\nQUIT\r\n", 0, 1, 0, LF},
  {"a\r.\rQUIT\r\n.\r\n", 0, "a\r.\rQUIT\r\n", 0, 1, 0, CR},
  {"a\r\n.\rQUIT\r\n.\r\n", 0, "a\r\n\rQUIT\r\n", 0, 1, 0, CR},
  {"a\r.\r\nb\r\n.\r\n", 0, "a\r.\r\nb\r\n", 0, 1, 0, CR},
  {"a\r\r\n.\r\n", 0, "a\r\r\n", 0, 1, 0, CR},
  {"a\r\n.\r\r\n.\r\n", 0, "a\r\n\r\r\n", 0, 1, 0, CR},
  {"a\r\n\n.\r\nb\r\n.\r\n", 0, "a\r\n\n.\r\nb\r\n", 0, 1, 0, LF},
  {"a\0b\r\n.\r\n", 8, "a\0b\r\n", 5, 1, 0, NUL},
  {"a\r\0\n.\r\nb\r\n.\r\n", 13, "a\r\0\n.\r\nb\r\n", 10, 1, 0, CR | LF | NUL},
};

static int marks_of(const struct enddata *e)
{
  return (e->has_bare_cr ? CR : 0) | (e->has_bare_lf ? LF : 0) | (e->has_nul ? NUL : 0);
}

/* feeds in pieces of at most `piece` bytes into room for `room` */
static size_t run(struct enddata *e, const char *in, size_t len, char *out, size_t piece,
                  size_t room, size_t *outlen)
{
  size_t at = 0;

  *e = (struct enddata){.state = ENDDATA_START};
  *outlen = 0;
  while (at < len && !e->is_over) {
    size_t n = len - at < piece ? len - at : piece, got;
    size_t used = enddata_scan(e, in + at, n, out + *outlen, room, &got);
    assert_true(got <= room);
    assert_true(used > 0 || got > 0);
    at += used;
    *outlen += got;
  }
  return at;
}

static void ends(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    size_t len = rows[i].inlen ? rows[i].inlen : strlen(rows[i].in);
    size_t want = rows[i].outlen ? rows[i].outlen : strlen(rows[i].out);
    for (size_t piece = 1; piece <= len; piece++)
      for (size_t room = 4; room <= 64; room += 20) {
        struct enddata e;
        char out[256];
        size_t got, used = run(&e, rows[i].in, len, out, piece, room, &got);
        assert_int_equal(e.is_over, rows[i].is_over);
        assert_int_equal(used, len - rows[i].left);
        assert_int_equal(got, want);
        assert_memory_equal(out, rows[i].out, want);
        assert_int_equal(e.size, want);
        assert_int_equal(marks_of(&e), rows[i].marks);
      }
  }
}

/* a bare LF that is taken ends a line and never the message; counted octets end nothing */
static void other_framings(void **state)
{
  static const struct {
    int takes_lf, is_counted;
    const char *in, *out;
    int is_over, marks;
  } cases[] = {
    {1, 0, "a\nb\r\n.\r\n", "a\r\nb\r\n", 1, CLEAN},
    {1, 0, "a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", 1, CLEAN},
    {1, 0, "a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", 1, CLEAN},
    {1, 0, "a\r\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", 1, CLEAN},
    {1, 0, "a\n.\n.\r\n.\r\n", "a\r\n.\r\n.\r\n", 1, CLEAN},
    {1, 0, "a\n\r\n.\r\n", "a\r\n\r\n", 1, CLEAN},
    {1, 0, "a\n..b\n..\n.c\r\n.\r\n", "a\r\n.b\r\n.\r\nc\r\n", 1, CLEAN},
    {1, 0, ".\nb\n", ".\r\nb\r\n", 0, CLEAN},
    {1, 0, "a\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", 1, CR},
    {1, 0, "a\r\r\n.\r\n", "a\r\r\n", 1, CR},
    {0, 1, "a\r\n.\r\n..\r\n", "a\r\n.\r\n..\r\n", 0, CLEAN},
    {0, 1, ".", ".\r\n", 0, CLEAN}, {0, 1, "", "", 0, CLEAN}, {0, 1, "a\r", "a\r\r\n", 0, CR},
    {0, 1, "a\n.\n", "a\n.\n\r\n", 0, LF},
    {1, 1, "a\n.\n..b", "a\r\n.\r\n..b\r\n", 0, CLEAN},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t piece = 1; piece < 30; piece++)
      for (size_t room = 4; room <= 64; room += 20) {
        struct enddata e = {.takes_lf = cases[i].takes_lf, .is_counted = cases[i].is_counted};
        size_t len = strlen(cases[i].in), at = 0, n = 0, got;
        char out[256];
        while (at < len && !e.is_over) {
          at += enddata_scan(&e, cases[i].in + at, len - at < piece ? len - at : piece, out + n, room, &got);
          n += got;
        }
        assert_int_equal(e.is_over, cases[i].is_over);
        if (e.is_counted)
          n += enddata_close(&e, out + n);
        assert_int_equal(n, strlen(cases[i].out));
        assert_memory_equal(out, cases[i].out, n);
        assert_int_equal(e.size, n);
        assert_int_equal(marks_of(&e), cases[i].marks);
      }
}

static void longest_line(void **state)
{
  static const char text[] = "12345\r\n1234567\r\n..34\r\n123\r\n.\r\n";
  struct enddata e;
  char out[64];
  size_t got;

  (void)state;
  for (size_t piece = 1; piece < sizeof text; piece++) {
    run(&e, text, sizeof text - 1, out, piece, sizeof out - 32, &got);
    assert_int_equal(e.longest, 7);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(ends),
    cmocka_unit_test(other_framings),
    cmocka_unit_test(longest_line),
  };

  return cmocka_run_group_tests_name("enddata", tests, NULL, NULL);
}
