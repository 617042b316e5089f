/* test_work.c - what becomes of messages that cannot be taken up */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "common/settings.h"
#include "queue/clock.h"
#include "queue/waiting.h"
#include "queue/work.h"

static int corrupt_error; /* of store_corrupt */
static size_t put_aside;

int __wrap_store_read(int queue_fd, const struct store_name *n, int is_unverified, struct envelope *e,
                      const char **why);
int __wrap_store_corrupt(int queue_fd, const struct store_name *n, const char *why);

int __wrap_store_read(int queue_fd, const struct store_name *n, int is_unverified, struct envelope *e,
                      const char **why)
{
  (void)queue_fd;
  (void)n;
  (void)is_unverified;
  (void)e;
  *why = "its record in the journal is damaged";
  errno = EBADMSG;
  return -1;
}

int __wrap_store_corrupt(int queue_fd, const struct store_name *n, const char *why)
{
  (void)queue_fd;
  (void)n;
  (void)why;
  put_aside++;
  errno = corrupt_error;
  return corrupt_error ? -1 : 0;
}

/* one that is damaged, and that a full disk does not let us put aside, is not forgotten: else its
 * segment of the journal would stay taken */
static void test_damaged_on_a_full_disk(void **state)
{
  struct store_name n = {.id = "000000000000100", .state = STORE_FLIGHT};
  uint64_t ms = 1000;

  (void)state;
  clock_feed(1800000000000, ms);
  settings.destination_attempts = settings.queue_attempts = 20;
  assert_true(waiting_add(&n) != WAITING_NONE);
  corrupt_error = ENOSPC;
  work_turn();
  assert_int_equal(put_aside, 1);
  assert_true(waiting_find(n.id) != WAITING_NONE);
  work_turn();
  assert_int_equal(put_aside, 1); /* not at once */
  ms += 100000;
  clock_feed(1800000000000 + ms, ms);
  corrupt_error = 0;
  work_turn();
  assert_int_equal(put_aside, 2);
  assert_true(waiting_find(n.id) == WAITING_NONE);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_damaged_on_a_full_disk)};

  return cmocka_run_group_tests_name("work", tests, NULL, NULL);
}
