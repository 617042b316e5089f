/* test_archive.c - archives: made, read in pieces of every size, cut and changed everywhere */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <xxhash.h>

#include "queue/archive.h"

#define BODY "the message\nwith m 0abcdefghjkmn17 in it\n= 0123456789abcdef\n"

/* ---- making one, and noting what is read */

struct seen {
  char text[1000];
  size_t len;
  int stops; /* at this record; 0: never */
  int records;
};

static void note(struct seen *s, const char *text, size_t len)
{
  assert_true(s->len + len < sizeof s->text);
  memcpy(s->text + s->len, text, len);
  s->len += len;
  s->text[s->len] = 0;
}

static int on_begin(void *arg, const struct archive_record *r)
{
  struct seen *s = arg;
  char line[100];
  int n = snprintf(line, sizeof line, "[%c %s %s %x %u ", r->kind, r->name.id, r->kind == 'm' ? store_state_word(r->name.state) : "",
                   (unsigned int)r->name.next, (unsigned int)r->len);

  note(s, line, (size_t)n);
  return ++s->records == s->stops ? -1 : 0;
}

static int on_data(void *arg, const char *text, size_t len)
{
  note(arg, text, len);
  return 0;
}

static int on_end(void *arg, int is_whole)
{
  note(arg, is_whole ? "]" : "!", 1);
  return 0;
}

static const struct archive_ops ops = {on_begin, on_data, on_end};

static void add_record(stralloc *out, struct archive_reader *r, const stralloc *line, const char *body)
{
  XXH3_state_t *x = XXH3_createState();
  stralloc sum = {0};
  const char *why;

  XXH3_64bits_reset(x);
  XXH3_64bits_update(x, line->s, line->len);
  XXH3_64bits_update(x, body, strlen(body));
  assert_int_equal(archive_sum(&sum, XXH3_64bits_digest(x)), 0);
  assert_true(stralloc_cat(out, line) && stralloc_cats(out, body) && stralloc_cat(out, &sum));
  assert_int_equal(archive_feed(r, line->s, line->len, &why), 0);
  assert_int_equal(archive_feed(r, body, strlen(body), &why), 0);
  assert_int_equal(archive_feed(r, sum.s, sum.len, &why), 0);
  XXH3_freeState(x);
  stralloc_free(&sum);
}

static void make(stralloc *out)
{
  struct store_name a = {"0abcdefghjkmn17", STORE_CUR, 0x6b026d19, 7}, b = {"0abcdefghjkmn16", STORE_HOLD, UINT32_MAX, 0};
  struct seen s = {.len = 0};
  struct archive_reader *r = archive_open(&ops, &s);
  stralloc line = {0};
  const char *why;

  assert_int_equal(archive_head(out, "host.example", 1795320703), 0);
  assert_int_equal(archive_feed(r, out->s, out->len, &why), 0);
  archive_message(&line, &a, strlen(BODY));
  add_record(out, r, &line, BODY);
  archive_transcript(&line, a.id, 5);
  add_record(out, r, &line, "said\n");
  archive_message(&line, &b, 3);
  add_record(out, r, &line, "\n= ");
  assert_int_equal(archive_tail(r, &line), 0);
  assert_true(stralloc_cat(out, &line));
  archive_close(r);
  stralloc_free(&line);
}

/* 0 when it was read to its end */
static int read_all(const char *s, size_t len, size_t piece, struct seen *seen)
{
  struct archive_reader *r = archive_open(&ops, seen);
  const char *why = NULL;
  int bad = 0;

  for (size_t at = 0; bad == 0 && at < len; at += piece)
    bad = archive_feed(r, s + at, len - at < piece ? len - at : piece, &why);
  if (bad == 0) {
    assert_null(why);
    bad = archive_finish(r, &why);
  }
  assert_true(bad == 0 || why || seen->stops);
  archive_close(r);
  return bad;
}

static const char wanted[] = "[m 0abcdefghjkmn17 cur 6b026d19 60 " BODY "]"
                             "[t 0abcdefghjkmn17  0 5 said\n]"
                             "[m 0abcdefghjkmn16 hold ffffffff 3 \n= ]";

static void test_pieces(void **state)
{
  stralloc file = {0};

  (void)state;
  make(&file);
  for (size_t piece = 1; piece <= file.len; piece++) {
    struct seen s = {.len = 0};
    assert_int_equal(read_all(file.s, file.len, piece, &s), 0);
    assert_string_equal(s.text, wanted);
  }
  stralloc_free(&file);
}

static void test_cut(void **state)
{
  stralloc file = {0};

  (void)state;
  make(&file);
  for (size_t len = 0; len < file.len; len++) {
    struct seen s = {.len = 0};
    assert_int_equal(read_all(file.s, len, 7, &s), -1);
    assert_memory_equal(s.text, wanted, s.len);
  }
  stralloc_free(&file);
}

static void test_every_bit_flipped(void **state)
{
  stralloc file = {0};

  (void)state;
  make(&file);
  for (size_t at = 0; at < file.len; at++)
    for (int bit = 0; bit < 8; bit++) {
      struct seen s = {.len = 0};
      file.s[at] ^= (char)(1 << bit);
      assert_int_equal(read_all(file.s, file.len, 64, &s), -1);
      file.s[at] ^= (char)(1 << bit);
    }
  stralloc_free(&file);
}

static void test_stopped(void **state)
{
  stralloc file = {0};
  struct seen s = {.stops = 2};
  struct archive_reader *r = archive_open(&ops, &s);
  const char *why = "";

  (void)state;
  make(&file);
  assert_int_equal(archive_feed(r, file.s, file.len, &why), -1);
  assert_null(why);
  archive_close(r);
  stralloc_free(&file);
}

static void test_lines(void **state)
{
#define HEAD "heloise-archive 1 h 1\n"
  static const char *const rows[] = {
    "", "\n", "heloise-archive 2 h 1\n", HEAD "\n", HEAD "x\n", HEAD "m\n", HEAD "m \n", HEAD "m 0abcdefghjkmn17\n",
    HEAD "m 0abcdefghjkmn17 cur 00000000 \n", HEAD "m 0abcdefghjkmn17 cur 00000000 0\n",
    HEAD "m 0abcdefghjkmn17 cur 0000000 1\n", HEAD "m 0abcdefghjkmn17 cur 0000000G 1\n",
    HEAD "m 0abcdefghjkmn17 tmp 00000000 1\n", HEAD "m 0abcdefghjkmn17 cur 00000000 1 \n",
    HEAD "m 0abcdefghjkmn17 cur 00000000 -1\n", HEAD "m 0abcdefghjkmn17 cur 00000000 99999999999999999999\n",
    HEAD "m 0abcdefghjkmn17 cur 00000000 18446744073709551615\n", HEAD "m ../../../etc/pa cur 00000000 1\n",
    HEAD "m 0abcdefghjkmn88 cur 00000000 1\n", HEAD "t 0abcdefghjkmn17\n", HEAD "t 0abcdefghjkmn17 1\nx= 1\n",
    HEAD "t 0abcdefghjkmn17 1\nxy= 0123456789abcdef\n", HEAD "e 0 0123456789abcdef\n", HEAD "e 0\n", HEAD "= 0123456789abcdef\n"};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct seen s = {.len = 0};
    if (read_all(rows[i], strlen(rows[i]), 1000, &s) == 0)
      fail_msg("row %zu: %s", i, rows[i]);
  }
}

/* a line that never ends costs no memory */
static void test_endless_line(void **state)
{
  struct seen s = {.len = 0};
  struct archive_reader *r = archive_open(&ops, &s);
  char junk[ARCHIVE_LINE + 1];
  const char *why;

  (void)state;
  memset(junk, 'a', sizeof junk);
  assert_int_equal(archive_feed(r, HEAD, strlen(HEAD), &why), 0);
  assert_int_equal(archive_feed(r, junk, sizeof junk, &why), -1);
  archive_close(r);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces),  cmocka_unit_test(test_cut),
                                     cmocka_unit_test(test_every_bit_flipped), cmocka_unit_test(test_stopped),
                                     cmocka_unit_test(test_lines),   cmocka_unit_test(test_endless_line)};

  return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
