/* test_names.c - names of messages read from disk: asleep until all are read, and nothing that is
 * new waits for that */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/names.h"
#include "queue/waiting.h"

#define MANY 40000 /* more than one turn reads */

static char dir[64];
static int queue;
static unsigned int woken, reads, awakes;

static void wake(uint32_t h)
{
  assert_int_equal(reads, 1);
  assert_int_equal(awakes, 0);
  waiting_until(h, waiting_at(h)->next);
  woken++;
}

static void on_read(void)
{
  reads++;
}

static void on_awake(void)
{
  awakes++;
}

static const struct names_keeper keeper = {on_read, wake, on_awake};

/* message number k of cur, due at 100 + k */
static void name_of(unsigned int k, struct store_name *n)
{
  memset(n, 0, sizeof *n);
  snprintf(n->id, sizeof n->id, "1ng4t%08u%02o", k, k % STORE_BUCKETS);
  n->state = STORE_CUR;
  n->next = 100 + k;
  n->hop = 7;
}

static void make(unsigned int k)
{
  struct store_name n;
  char path[100];
  int fd;

  name_of(k, &n);
  snprintf(path, sizeof path, "cur/%s/%s,%08x,%08x", n.id + 13, n.id, n.next, n.hop);
  fd = openat(queue, path, O_CREAT | O_WRONLY, 0600);
  assert_true(fd >= 0);
  close(fd);
}

static int set_up(void **state)
{
  (void)state;
  strcpy(dir, "/tmp/heloise-names-XXXXXX");
  if (!mkdtemp(dir) || (queue = open(dir, O_RDONLY | O_DIRECTORY)) < 0 || store_make(queue) != 0)
    return -1;
  woken = reads = awakes = 0;
  names_open(queue, &keeper);
  return 0;
}

static int tear_down(void **state)
{
  char command[100];

  (void)state;
  for (uint32_t h = 0; h < waiting_slots(); h++)
    if (waiting_at(h)->is_used)
      waiting_drop(h);
  close(queue);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command);
}

static void read_all(void)
{
  while (names_turn())
    ;
}

static void test_an_empty_queue_takes_two_turns(void **state)
{
  (void)state;
  names_read(NAMES_ALL);
  assert_int_equal(names_turn(), 1);
  assert_int_equal(reads, 1);
  assert_int_equal(names_turn(), 0);
  assert_int_equal(awakes, 1);
  assert_int_equal(names_turn(), 0);
  assert_int_equal(reads, 1);
}

static void test_many_take_turns(void **state)
{
  struct store_name fresh = {.id = "1ng4z0000000000", .state = STORE_NEW}, n;
  unsigned int turns = 1;

  (void)state;
  for (unsigned int k = 0; k < MANY; k++)
    make(k);
  names_read(NAMES_ALL);
  assert_int_equal(names_turn(), 1);
  assert_int_equal(reads, 0);
  assert_int_equal(waiting_first(), WAITING_NONE); /* what was found sleeps */
  assert_int_not_equal(waiting_add(&fresh), WAITING_NONE);
  assert_string_equal(waiting_at(waiting_first())->id, fresh.id); /* what is new does not */
  waiting_drop(waiting_first());
  while (names_turn())
    turns++;
  assert_true(turns >= 4);
  assert_int_equal(reads, 1);
  assert_int_equal(awakes, 1);
  assert_int_equal(woken, MANY);
  assert_int_equal(waiting_count(), MANY);
  name_of(0, &n);
  assert_string_equal(waiting_at(waiting_first())->id, n.id);
  for (uint32_t h = 0; h < waiting_slots(); h++)
    assert_true(waiting_at(h)->is_unverified && !waiting_at(h)->is_asleep);
}

static void test_what_is_known_stays_as_it_is(void **state)
{
  struct store_name n;
  uint32_t h;

  (void)state;
  make(5);
  name_of(5, &n);
  h = waiting_add(&n);
  waiting_until(h, 77);
  names_read(NAMES_ALL);
  read_all();
  assert_int_equal(woken, 0);
  assert_int_equal(waiting_at(h)->due, 77);
  assert_false(waiting_at(h)->is_unverified);
}

static void test_what_cannot_be_read_is_read_again(void **state)
{
  (void)state;
  make(0);
  make(1);
  assert_int_equal(renameat(queue, "cur/01", queue, "away"), 0);
  names_read(NAMES_ALL);
  read_all();
  assert_int_equal(reads, 1);
  assert_int_equal(woken, 1);
  assert_int_equal(renameat(queue, "away", queue, "cur/01"), 0);
  reads = awakes = 0;
  names_read(1U << STORE_CUR);
  read_all();
  assert_int_equal(woken, 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_an_empty_queue_takes_two_turns, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_many_take_turns, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_what_is_known_stays_as_it_is, set_up, tear_down),
    cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_read_again, set_up, tear_down),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
