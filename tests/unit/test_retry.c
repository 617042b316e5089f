/* test_retry.c - the retry schedule: values and arithmetic (LADDER.md 6) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/retry.h"

static void parse(const char *s, struct retry *r)
{
  const char *why = NULL;

  if (retry_parse(s, strlen(s), r, &why) != 0)
    fail_msg("\"%s\": %s", s, why);
}

static void test_values(void **state)
{
  struct retry r, d;

  (void)state;
  parse(RETRY_DEFAULT, &d);
  assert_int_equal(d.form, RETRY_PARABOLA);
  assert_int_equal(d.c, 20);
  assert_int_equal(d.cap, 10800);
  assert_int_equal(d.life, 432000);
  assert_int_equal(d.bouncelife, 86400);
  assert_int_equal(d.warn, 14400);
  assert_int_equal(d.jitter, 12);
  assert_int_equal(d.greetsoft, 14400);
  parse("life 2d", &r);
  assert_int_equal(r.life, 172800);
  r.life = d.life;
  assert_memory_equal(&r, &d, sizeof r);
  parse("  life\t1d   every 10m ", &r);
  assert_int_equal(r.form, RETRY_EVERY);
  assert_int_equal(r.every, 600);
  parse("list 15m,30m,60m,240m life 2d", &r);
  assert_int_equal(r.form, RETRY_LIST);
  assert_int_equal(r.list_len, 4);
  assert_int_equal(r.list[3], 14400);
}

static void test_bad_values(void **state)
{
  static const char *const bad[] = {
    "", "   ", "parabola", "parabola x", "parabola 0", "parabola 20 parabola 20", "every 0s",
    "every 500ms", "every 10m every 10m", "every 10m list 1m", "list", "list ,", "list 1m,,2m",
    "list 1m,", "list 1m, 2m", "life", "life 0", "life 11000d", "jitter 51", "jitter -1",
    "exim F,2h,15m", "every 10m cap 3h", "life 1d life 1d", "Parabola 20", "warn", "hourly",
    "list 1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s,1s",
    "list 15,30", "list 15m,30", "list 15,30m", "every 15", "every 600 life 1d"};
  struct retry r;

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *why = NULL;
    if (retry_parse(bad[i], strlen(bad[i]), &r, &why) == 0)
      fail_msg("\"%s\" was taken", bad[i]);
    assert_non_null(why);
    if (strncmp(bad[i], "list", 4) == 0 || strncmp(bad[i], "every 15", 8) == 0)
      assert_non_null(strstr(why, "15m"));
  }
}

/* the ages that LADDER.md 6.2 lists, without jitter */
static void test_parabola(void **state)
{
  static const uint64_t ages[] = {400,   1600,  3600,  6400,  10000, 14400, 19600, 25600,
                                  32400, 40000, 48400, 57600, 67600, 78400, 89200};
  struct retry_message m = {.birth = 1000000, .tries = 1};
  struct retry r;
  uint64_t now = m.birth;

  (void)state;
  parse("parabola 20 jitter 0", &r);
  for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
    now = retry_next(&r, &m, now);
    assert_int_equal(now - m.birth, ages[i] < 78400 + 10800 ? ages[i] : 78400 + 10800);
  }
  assert_int_equal(retry_next(&r, &m, now), now + 10800);
}

static void test_end_of_life(void **state)
{
  struct retry_message m = {.birth = 1000000, .key = 7, .tries = 1};
  struct retry r;
  uint64_t now = m.birth, last = 0;
  int n = 0;

  (void)state;
  parse(RETRY_DEFAULT, &r);
  while ((now = retry_next(&r, &m, now)) != 0) {
    assert_true(now > last);
    last = now;
    n++;
  }
  assert_int_equal(last, m.birth + 432000);
  assert_in_range(n, 45, 60);
  assert_int_equal(retry_next(&r, &m, m.birth + 432000), 0);
  m.has_null_sender = 1;
  assert_int_equal(retry_end(&r, &m), m.birth + 86400);
  assert_int_equal(retry_next(&r, &m, m.birth + 86400), 0);
}

static void test_jitter(void **state)
{
  struct retry_message m = {.birth = 1000000, .tries = 1};
  struct retry r;
  int differ = 0;

  (void)state;
  parse(RETRY_DEFAULT, &r);
  for (m.key = 0; m.key < 2000; m.key++) {
    uint64_t a = retry_next(&r, &m, m.birth + 100000);
    assert_in_range(a, m.birth + 100000 + 10800 * 88 / 100, m.birth + 100000 + 10800 * 112 / 100);
    assert_int_equal(a, retry_next(&r, &m, m.birth + 100000));
    differ += a != m.birth + 110800;
    assert_true(retry_next(&r, &m, m.birth) >= m.birth + 300);
  }
  assert_true(differ > 1900);
}

/* gaps under a minute are exact (DESIGN 8) */
static void test_exact(void **state)
{
  struct retry_message m = {.birth = 1000000, .tries = 1};
  struct retry r;

  (void)state;
  parse("every 1s life 1d", &r);
  for (m.key = 0; m.key < 100; m.key++)
    assert_int_equal(retry_next(&r, &m, m.birth + 50), m.birth + 51);
  parse("every 59s", &r);
  assert_int_equal(retry_next(&r, &m, m.birth), m.birth + 59);
  parse("every 10m jitter 0", &r);
  assert_int_equal(retry_next(&r, &m, m.birth), m.birth + 600);
}

static void test_list(void **state)
{
  static const uint64_t gaps[] = {900, 1800, 3600, 14400, 14400, 14400};
  struct retry_message m = {.birth = 1000000};
  struct retry r;

  (void)state;
  parse("list 15m,30m,60m,240m jitter 0", &r);
  for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
    m.tries = (unsigned int)i + 1;
    assert_int_equal(retry_next(&r, &m, m.birth + 5), m.birth + 5 + gaps[i]);
  }
  m.tries = 0;
  assert_int_equal(retry_next(&r, &m, m.birth), m.birth + 900);
}

static void test_odd_clocks(void **state)
{
  struct retry_message m = {.birth = 2000000, .tries = 1};
  struct retry r;

  (void)state;
  parse(RETRY_DEFAULT, &r);
  assert_true(retry_next(&r, &m, 1000) > 1000); /* born in the future */
  m.is_local = 1;
  r.jitter = 0;
  assert_int_equal(retry_next(&r, &m, m.birth), m.birth + 300); /* 10 squared, but the floor */
  assert_int_equal(retry_next(&r, &m, m.birth + 10000), m.birth + 12100);
}

static void test_find(void **state)
{
  struct retry r, d;

  (void)state;
  parse(RETRY_DEFAULT, &d);
  retry_find(NULL, "example.net", 11, &r);
  assert_memory_equal(&r, &d, sizeof r);
  retry_find(NULL, "", 0, &r);
  assert_memory_equal(&r, &d, sizeof r);
}

/* no gap that retry_next() gives is longer */
static void test_longest(void **state)
{
  static const struct {
    const char *value;
    uint64_t longest;
  } c[] = {
    {RETRY_DEFAULT, 12096}, {"every 2s", 2},          {"every 10m jitter 0", 600},
    {"every 1h", 4032},            {"list 1s,3h,2s", 12096}, {"parabola 20 cap 1m", 300},
  };

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    struct retry r;
    parse(c[i].value, &r);
    assert_int_equal(retry_longest(&r), c[i].longest);
    for (uint64_t age = 0; age < 400000; age += 977) {
      struct retry_message m = {.birth = 1000, .key = age * 31, .tries = (unsigned int)(age % 5)};
      uint64_t next = retry_next(&r, &m, 1000 + age);
      assert_true(next == 0 || next <= 1000 + age + c[i].longest);
    }
  }
}

static void test_bounds_without_table(void **state)
{
  struct retry_bounds b;

  (void)state;
  retry_bounds(NULL, &b);
  assert_int_equal(b.longest, 12096);
  assert_int_equal(b.look, 14400);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_values),   cmocka_unit_test(test_bad_values),
    cmocka_unit_test(test_parabola), cmocka_unit_test(test_end_of_life),
    cmocka_unit_test(test_jitter),   cmocka_unit_test(test_exact),
    cmocka_unit_test(test_list),     cmocka_unit_test(test_odd_clocks),
    cmocka_unit_test(test_find),     cmocka_unit_test(test_longest),
    cmocka_unit_test(test_bounds_without_table),
  };

  return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
