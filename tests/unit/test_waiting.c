/* test_waiting.c - the manager's list of messages: found by id, ordered by time, handles reused */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/waiting.h"

static uint32_t seed = 12345;

static uint32_t chance(uint32_t below)
{
  seed = seed * 1664525 + 1013904223;
  return (seed >> 8) % below;
}

static struct store_name name_of(uint32_t i, uint32_t next)
{
  struct store_name n = {.state = STORE_CUR, .next = next, .hop = i ^ 0xabcd};

  snprintf(n.id, sizeof n.id, "%013u00", i);
  return n;
}

static uint32_t add(uint32_t i, uint32_t next)
{
  struct store_name n = name_of(i, next);

  return waiting_add(&n);
}

static uint32_t find(uint32_t i)
{
  return waiting_find(name_of(i, 0).id);
}

static void drop_all(void)
{
  for (uint32_t h = 0; h < waiting_slots(); h++)
    if (waiting_at(h)->is_used)
      waiting_drop(h);
  assert_int_equal(waiting_count(), 0);
  assert_int_equal(waiting_first(), WAITING_NONE);
}

static void test_record_is_small(void **state)
{
  (void)state;
  assert_true(sizeof(struct waiting) <= 68);
}

static void test_empty(void **state)
{
  (void)state;
  assert_int_equal(waiting_first(), WAITING_NONE);
  assert_int_equal(find(1), WAITING_NONE);
  assert_int_equal(waiting_count(), 0);
}

static void test_names(void **state)
{
  uint32_t h = add(7, 100), again;
  struct store_name n;

  (void)state;
  waiting_name(h, &n);
  assert_int_equal(memcmp(&n, &(struct store_name[]){name_of(7, 100)}[0], sizeof n), 0);
  again = add(7, 5); /* known: nothing changes */
  assert_int_equal(again, h);
  assert_int_equal(waiting_at(h)->due, 100);
  assert_int_equal(waiting_count(), 1);
  n.next = 300;
  n.hop = 9;
  n.state = STORE_HOLD;
  waiting_moved(h, &n);
  assert_int_equal(waiting_at(h)->due, 100); /* its time is another matter */
  assert_int_equal(waiting_at(h)->next, 300);
  waiting_until(h, 300);
  assert_int_equal(waiting_at(h)->due, 300);
  drop_all();
}

/* what is on hold is never due by itself, whatever time its name says */
static void test_hold_is_never_due(void **state)
{
  struct store_name n = name_of(1, 5);
  uint32_t h;

  (void)state;
  n.state = STORE_HOLD;
  h = waiting_add(&n);
  assert_int_equal(waiting_at(h)->due, WAITING_NEVER);
  assert_int_equal(waiting_first(), h);
  add(2, 4000000000U);
  assert_int_equal(waiting_first(), find(2));
  drop_all();
}

/* equal times go oldest first: ids grow with time */
static void test_order(void **state)
{
  (void)state;
  for (uint32_t i = 0; i < 1000; i++)
    add(999 - i, i % 3);
  for (uint32_t next = 0; next < 3; next++)
    for (uint32_t i = 0; i < 1000; i++)
      if ((999 - i) % 3 == next) {
        assert_int_equal(waiting_first(), find(i));
        waiting_drop(waiting_first());
      }
  assert_int_equal(waiting_count(), 0);
}

static void test_hundred_thousand(void **state)
{
  uint32_t before = 0, slots;

  (void)state;
  for (uint32_t i = 0; i < 100000; i++)
    assert_true(add(i, chance(1000000)) != WAITING_NONE);
  assert_int_equal(waiting_count(), 100000);
  slots = waiting_slots();
  for (uint32_t i = 0; i < 100000; i += 97)
    assert_string_equal(waiting_at(find(i))->id, name_of(i, 0).id);
  for (uint32_t i = 0; i < 100000; i++) {
    uint32_t h = waiting_first();
    assert_true(waiting_at(h)->due >= before);
    before = waiting_at(h)->due;
    waiting_drop(h);
  }
  assert_int_equal(waiting_first(), WAITING_NONE);
  for (uint32_t i = 0; i < 100000; i++)
    add(200000 + i, i);
  assert_int_equal(waiting_slots(), slots); /* places are used again */
  drop_all();
}

#define SOME 500

/* a plain array beside the list, and random operations on both */
struct shadow {
  int is_there, is_taken;
  uint32_t handle, due;
};

static void compare(const struct shadow *s)
{
  uint32_t first = WAITING_NONE, count = 0;

  for (uint32_t i = 0; i < SOME; i++) {
    count += s[i].is_there;
    assert_int_equal(find(i), s[i].is_there ? s[i].handle : WAITING_NONE);
    if (s[i].is_there && !s[i].is_taken && (first == WAITING_NONE || s[i].due < s[first].due))
      first = i; /* the first of equals has the smallest id */
    if (s[i].is_there)
      assert_int_equal(waiting_at(s[i].handle)->place == 0, s[i].is_taken);
  }
  assert_int_equal(waiting_count(), count);
  assert_int_equal(waiting_first(), first == WAITING_NONE ? WAITING_NONE : s[first].handle);
}

static void test_random_operations(void **state)
{
  static struct shadow s[SOME];

  (void)state;
  for (int step = 0; step < 60000; step++) {
    uint32_t i = chance(SOME), due = chance(50);
    struct shadow *w = &s[i];
    if (!w->is_there) {
      *w = (struct shadow){1, 0, add(i, due), due};
    } else if (chance(3) == 0) {
      waiting_drop(w->handle);
      w->is_there = 0;
    } else if (chance(2) == 0) {
      waiting_take(w->handle); /* also when it is taken already */
      w->is_taken = 1;
    } else {
      waiting_until(w->handle, due);
      w->is_taken = 0;
      w->due = due;
    }
    if (step % 50 == 0)
      compare(s);
  }
  compare(s);
  drop_all();
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_record_is_small), cmocka_unit_test(test_empty),
    cmocka_unit_test(test_names),           cmocka_unit_test(test_hold_is_never_due),
    cmocka_unit_test(test_order),           cmocka_unit_test(test_hundred_thousand),
    cmocka_unit_test(test_random_operations),
  };
  return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
