/* test_news.c - what the intake tells the manager, and what it does then */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/chan.h"
#include "common/loop.h"
#include "queue/clock.h"
#include "queue/news.h"
#include "queue/store_flight.h"
#include "queue/waiting.h"
#include "queue/work.h"

/* messages of segment 0 that the journal alone counts for, as far as it is known */
static struct store_name live[4];
static size_t added, lives, filings, looks, scans;
static int twin; /* what comes of a look at the file */

int __wrap_flight_next(uint32_t *at, unsigned int segments, struct store_name *n);
int __wrap_flight_twin(int queue_fd, const struct store_name *file);
int __wrap_work_file(uint32_t handle);

int __wrap_flight_next(uint32_t *at, unsigned int segments, struct store_name *n)
{
  scans++;
  for (; (segments & 1) && *at < added; ++*at)
    if (live[*at].id[0]) {
      *n = live[(*at)++];
      return 1;
    }
  return 0;
}

static void drop(const char *id)
{
  for (size_t i = 0; i < added; i++)
    if (strcmp(live[i].id, id) == 0) {
      live[i].id[0] = 0;
      lives--;
    }
}

int __wrap_flight_twin(int queue_fd, const struct store_name *file)
{
  (void)queue_fd;
  looks++;
  if (twin == 1)
    drop(file->id);
  return twin;
}

int __wrap_work_file(uint32_t handle)
{
  struct store_name n;

  waiting_name(handle, &n);
  filings++;
  if (n.state == STORE_FLIGHT)
    drop(n.id);
  return 0;
}

static void add(unsigned int number, enum store_state known)
{
  struct store_name n = {.state = known};

  snprintf(n.id, sizeof n.id, "%013u00", number);
  assert_true(waiting_add(&n) != WAITING_NONE);
  n.state = STORE_FLIGHT;
  live[added++] = n;
  lives++;
}

/* ---- the intake asks for segment 0 */

static int sock = -1;

static void ask(void)
{
  struct wire_out o;

  wire_start(&o, WIRE_FILE);
  wire_num(&o, 0);
  assert_int_equal(chan_send_blocking(sock, &o, -1), 0);
}

static size_t turns(void)
{
  size_t n = 1;

  while (news_turn() && n < 100)
    n++;
  return n;
}

static size_t turns_of[2], filings_of[2], lives_of[2], looks_of[2];

static void after_turn(void)
{
  static int asked;
  size_t before = scans;

  if (asked == 2)
    return; /* the loop has not ended yet */
  turns_of[asked] = turns();
  if (scans == before)
    return; /* it was not read yet */
  filings_of[asked] = filings;
  lives_of[asked] = lives;
  looks_of[asked] = looks;
  if (asked++) {
    loop_end();
    return;
  }
  twin = 1; /* it can be read now */
  ask();
}

/* a message that is a file too, which could not be read when the journal was: there is nothing to
 * file, and no turn after the other is spent on it; its file is looked at again */
static void test_a_file_that_could_not_be_read(void **state)
{
  int pair[2];

  (void)state;
  clock_feed(1800000000000, 1000);
  assert_int_equal(chan_pair(pair), 0);
  sock = pair[1];
  add(1, STORE_CUR);
  add(2, STORE_FLIGHT);
  twin = -1;
  ask();
  assert_int_equal(news_channel(pair[0]), 0);
  loop_after_turn(after_turn);
  loop_run();
  close(sock);
  assert_true(turns_of[0] < 10);
  assert_int_equal(filings_of[0], 1);
  assert_int_equal(lives_of[0], 1);
  assert_true(looks_of[0] > 0);
  assert_true(turns_of[1] < 10);
  assert_int_equal(filings_of[1], 1);
  assert_int_equal(lives_of[1], 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_file_that_could_not_be_read)};

  return cmocka_run_group_tests_name("news", tests, NULL, NULL);
}
