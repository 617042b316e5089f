/* test_dialogue.c - lines of transcripts: checked, made, read back, damaged */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/dialogue.h"

#define ID "0abcdefghjkmn17"
#define OTHER "0abcdefghjkmn16"

static void test_check(void **state)
{
  static const struct {
    const char *s;
    int fine;
  } rows[] = {
    {"", 1}, {"0 S 220 mx\n", 1}, {"12 C QUIT\n13 * closed\n", 1}, {"1 S \n", 1}, {"0 S 220", 0},
    {"S 220\n", 0}, {"x S 220\n", 0}, {"1 X 220\n", 0}, {"1 S220\n", 0}, {"1  S 220\n", 0}, {"\n", 0},
    {"1 S a\tb\n", 0}, {"1 S \x9b\n", 0}, {"1 S a\r\n", 0}, {"-1 S a\n", 0}, {"= " ID " 1 1 x\n", 0},
    {"99999999999999999999 S a\n", 0}, {"1 S a\n\n", 0},
  };
  char *line = malloc(DIALOGUE_LINE + 8);

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if ((dialogue_check(rows[i].s, strlen(rows[i].s)) == 0) != rows[i].fine)
      fail_msg("%s", rows[i].s);
  assert_int_equal(dialogue_check("1 S a\0b\n", 8), -1);
  memset(line, 'a', DIALOGUE_LINE + 8);
  memcpy(line, "1 S ", 4);
  line[DIALOGUE_LINE] = '\n';
  assert_int_equal(dialogue_check(line, DIALOGUE_LINE + 1), 0);
  line[DIALOGUE_LINE] = 'a';
  line[DIALOGUE_LINE + 1] = '\n';
  assert_int_equal(dialogue_check(line, DIALOGUE_LINE + 2), -1);
  free(line);
}

static char told[2000];
static int left;

static int on_attempt(void *arg, const struct dialogue_attempt *a)
{
  (void)arg;
  snprintf(told + strlen(told), sizeof told - strlen(told), "[%s %llu %u %s]", a->id,
           (unsigned long long)a->time, a->number, a->nexthop);
  return --left == 0;
}

static int on_line(void *arg, const struct dialogue_line *l)
{
  (void)arg;
  snprintf(told + strlen(told), sizeof told - strlen(told), "<%llu%c%s>", (unsigned long long)l->ms,
           l->who, l->text);
  return --left == 0;
}

static const struct dialogue_reader reader = {on_attempt, on_line, NULL};

static const char *read_back(const char *s, size_t len)
{
  told[0] = 0;
  assert_int_equal(dialogue_each(s, len, ID, &reader), 0);
  return told;
}

static void test_records(void **state)
{
  const struct dialogue_attempt a = {ID, 1769850000, 2, "mx:a\x1b b.example"},
                                b = {OTHER, 5, 1, "x"};
  stralloc s = {0};

  (void)state;
  assert_int_equal(dialogue_head(&s, &a), 0);
  assert_true(stralloc_cats(&s, "0 * one\n"));
  assert_int_equal(dialogue_head(&s, &b), 0);
  assert_true(stralloc_cats(&s, "0 * other\n"));
  assert_int_equal(dialogue_head(&s, &a), 0);
  assert_true(stralloc_cats(&s, "5 C two words\n"));
  assert_string_equal(read_back(s.s, s.len),
                      "[" ID " 1769850000 2 mx:a\\x1b b.example]<0*one>"
                      "[" ID " 1769850000 2 mx:a\\x1b b.example]<5Ctwo words>");
  left = 2;
  told[0] = 0;
  assert_int_equal(dialogue_each(s.s, s.len, ID, &reader), 1);
  assert_int_equal(left, 0);
  free(s.s);
}

/* what no attempt of ours wrote is passed over */
static void test_damaged(void **state)
{
  static const struct {
    const char *s, *told;
  } rows[] = {
    {"", ""}, {"0 S lost\n", ""}, {"= " ID " 1 1 x\n0 S torn", "[" ID " 1 1 x]"},
    {"= " ID " 1 1 x\nrubbish\n0 S a\n", "[" ID " 1 1 x]<0Sa>"},
    {"= " ID " 1 1 x\n0 S \x1b[2J\n", "[" ID " 1 1 x]"},
    {"= " ID " x 1 x\n0 S a\n", ""}, {"= " ID " 1 65536 x\n0 S a\n", ""}, {"= " ID "\n0 S a\n", ""},
    {"= " ID "8 1 1 x\n0 S a\n", ""}, {"= \n0 S a\n", ""}, {"= " ID " 1 1 \x9b\n0 S a\n", ""},
    {"= " ID " 1 1 x\n= " OTHER " 1 1 x\n0 S a\n", "[" ID " 1 1 x]"},
  };

  (void)state;
  left = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (strcmp(read_back(rows[i].s, strlen(rows[i].s)), rows[i].told) != 0)
      fail_msg("row %zu: %s", i, told);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_check), cmocka_unit_test(test_records),
                                     cmocka_unit_test(test_damaged)};

  return cmocka_run_group_tests_name("dialogue", tests, NULL, NULL);
}
