/* test_line.c - lines of messages: the oldest first, out of the middle, a million of them */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "queue/line.h"
#include "queue/waiting.h"

static uint32_t seed = 4711;

static uint32_t chance(uint32_t below)
{
  seed = seed * 1664525 + 1013904223;
  return (seed >> 8) % below;
}

static uint32_t add(uint32_t i)
{
  struct store_name n = {.state = STORE_CUR};

  snprintf(n.id, sizeof n.id, "%013u00", i);
  return waiting_add(&n);
}

static void drop_all(void)
{
  for (uint32_t h = 0; h < waiting_slots(); h++)
    if (waiting_at(h)->is_used)
      waiting_drop(h);
}

static void test_oldest_first(void **state)
{
  uint32_t h[100];

  (void)state;
  for (uint32_t i = 0; i < 100; i++)
    h[i] = add(i * 37 % 100);
  for (uint32_t i = 0; i < 100; i++)
    line_join(h[i], 8, LINE_DUE);
  for (uint32_t i = 0; i < 100; i++) {
    uint32_t first = line_first(8, LINE_DUE);
    assert_int_equal(first, waiting_find(waiting_at(first)->id));
    assert_int_equal(atoi(waiting_at(first)->id) / 100, i);
    line_leave(first);
    line_leave(first); /* again: nothing */
  }
  assert_int_equal(line_first(8, LINE_DUE), WAITING_NONE);
  drop_all();
}

/* a message stands in one line: joining another leaves the first; one that is dropped leaves too */
static void test_one_line(void **state)
{
  uint32_t a = add(1), b = add(2);

  (void)state;
  line_join(a, 8, LINE_HELD);
  line_join(b, 8, LINE_HELD);
  assert_int_equal(line_first(8, LINE_HELD), a);
  assert_int_equal(line_first(8, LINE_DUE), WAITING_NONE);
  assert_int_equal(line_first(10, LINE_HELD), WAITING_NONE);
  line_join(a, 8, LINE_DUE);
  assert_int_equal(line_first(8, LINE_HELD), b);
  assert_int_equal(line_first(8, LINE_DUE), a);
  waiting_drop(a);
  assert_int_equal(line_first(8, LINE_DUE), WAITING_NONE);
  waiting_drop(b);
  assert_int_equal(line_first(8, LINE_HELD), WAITING_NONE);
}

#define SOME 400
#define HOPS 60

/* beside a plain array: joins, leaves and drops at random */
static void test_random(void **state)
{
  static struct {
    uint32_t handle, hop;
    enum line_kind kind;
  } s[SOME];

  (void)state;
  for (uint32_t i = 0; i < SOME; i++)
    s[i].handle = add(i);
  for (int step = 0; step < 100000; step++) {
    uint32_t i = chance(SOME), hop = 2 * chance(HOPS), first = WAITING_NONE;
    enum line_kind kind = (enum line_kind)(1 + chance(3));
    if (chance(3) == 0) {
      line_leave(s[i].handle);
      s[i].kind = LINE_NONE;
    } else {
      line_join(s[i].handle, hop, kind);
      s[i].hop = hop;
      s[i].kind = kind;
    }
    for (uint32_t k = 0; k < SOME && first == WAITING_NONE; k++)
      if (s[k].kind == kind && s[k].hop == hop)
        first = s[k].handle;
    assert_int_equal(line_first(hop, kind), first);
  }
  drop_all();
}

static double seconds(void)
{
  struct timespec t;

  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define MANY 1000000

/* a million in one line, and half a million lines: no operation walks them */
static void test_a_million(void **state)
{
  static uint32_t handle[MANY];
  double start = seconds(), worst = 0;

  (void)state;
  for (uint32_t i = 0; i < MANY; i++) {
    handle[i] = add(i);
    line_join(handle[i], 8, LINE_HELD);
  }
  for (uint32_t i = 0; i < MANY; i += 2)
    line_join(handle[i], 2 * i + 100, LINE_DUE);
  for (uint32_t i = 1; i < MANY; i += 2) {
    double before = seconds();
    assert_int_equal(line_first(8, LINE_HELD), handle[i]);
    line_leave(handle[i]);
    if (seconds() - before > worst)
      worst = seconds() - before;
  }
  for (uint32_t i = 0; i < MANY; i += 2)
    assert_int_equal(line_first(2 * i + 100, LINE_DUE), handle[i]);
  print_message("a million: %.2f s of CPU, the slowest step %.3f ms\n", seconds() - start, worst * 1000);
  drop_all();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_oldest_first), cmocka_unit_test(test_one_line),
    cmocka_unit_test(test_random), cmocka_unit_test(test_a_million)};

  return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
