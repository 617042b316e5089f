/* test_due.c - recipients that are due, as batches and jobs */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/table.h"
#include "queue/clock.h"
#include "queue/due.h"
#include "queue/schedule.h"

static struct table *table;
static struct batch batch[4];
static char hop[4][64];
static size_t batches;

const struct table *__wrap_program_table(void);
int __wrap_schedule_add(struct work *w, const struct batch *b, const char *nexthop, enum work_spawner s,
                        uint64_t key);

const struct table *__wrap_program_table(void)
{
  return table;
}

int __wrap_schedule_add(struct work *w, const struct batch *b, const char *nexthop, enum work_spawner s,
                        uint64_t key)
{
  (void)s;
  (void)key;
  assert_true(batches < 4);
  snprintf(hop[batches], sizeof hop[batches], "%s", nexthop);
  batch[batches++] = *b;
  w->batches++;
  return 0;
}

static void make_table(const char *const (*route)[2], size_t n)
{
  int fd = memfd_create("table", 0);
  struct table_maker *m = table_maker_start(fd);

  for (size_t i = 0; i < n; i++)
    assert_int_equal(table_maker_add(m, "routes", route[i][0], strlen(route[i][0]), route[i][1],
                                     strlen(route[i][1])), 0);
  assert_int_equal(table_maker_finish(m), 0);
  table_close(table);
  table = table_open(fd);
  close(fd);
}

#define RCPTS 9

static struct work *begin(const unsigned int *attempts, const char *const *address)
{
  static struct work w;
  static struct envelope_rcpt rcpt[RCPTS];

  memset(&w, 0, sizeof w);
  memset(rcpt, 0, sizeof rcpt);
  for (size_t i = 0; i < RCPTS; i++) {
    rcpt[i].address = address[i % 3];
    rcpt[i].attempts = attempts[i];
    rcpt[i].status = RCPT_TODO;
  }
  w.e.rcpt = rcpt;
  w.e.nrcpt = RCPTS;
  batches = 0;
  due_begin(&w);
  return &w;
}

static const char *const addresses[] = {"a@a.example", "b@b.example", "c@a.example"};

/* the schedule, and the ladder, go by how often a recipient was tried: no job has two such numbers */
static void test_attempts_of_a_job(void **state)
{
  static const char *const to_one[][2] = {{"*", "[relay.example]"}};
  static const unsigned int attempts[RCPTS] = {3, 0, 3, 1, 0, 0, 7, 1, 0};
  static const unsigned int expected[] = {0, 0, 1, 3, 7}, each[] = {3, 1, 2, 2, 1};
  struct work *w;
  size_t n = 0;

  (void)state;
  make_table(to_one, 1);
  w = begin(attempts, addresses);
  assert_int_equal(batches, 1);
  assert_int_equal(batch[0].n, RCPTS);
  for (; batch[0].n > 0; n++) {
    struct job *j = due_job(w, &batch[0], 3);
    assert_true(n < 5);
    assert_int_equal(j->attempt, expected[n] + 1);
    assert_int_equal(j->nrcpt, each[n]);
    for (size_t i = 0; i < j->nrcpt; i++) {
      assert_int_equal(attempts[j->rcpt[i]], expected[n]);
      assert_true(i == 0 || j->rcpt[i] > j->rcpt[i - 1]);
    }
    work_free_job(j);
  }
  assert_int_equal(n, 5);
  free(w->due);
}

static void test_elsewhere(void **state)
{
  static const char *const before[][2] = {{"*", "[relay.example]"}};
  static const char *const after[][2] = {{"*", "[relay.example]"}, {"b.example", "[other.example]"}};
  static const unsigned int attempts[RCPTS] = {0};
  struct batch first = {.n = 1};
  struct work *w;

  (void)state;
  make_table(before, 1);
  w = begin(attempts, addresses);
  assert_int_equal(batches, 1);
  assert_false(due_is_elsewhere(w, &batch[0], hop[0]));
  make_table(after, 2);
  assert_true(due_is_elsewhere(w, &batch[0], hop[0]));
  assert_false(due_is_elsewhere(w, &first, hop[0]));
  free(w->due);
}

static int setup(void **state)
{
  (void)state;
  clock_feed(1800000000000, 1000);
  return 0;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_attempts_of_a_job),
    cmocka_unit_test(test_elsewhere),
  };

  return cmocka_run_group_tests_name("due", tests, setup, NULL);
}
