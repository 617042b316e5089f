/* test_pastclock.c - times that earlier runs wrote down, by today's clock */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/pastclock.h"

#define DAY 86400LL
#define NOW 1800000000LL

static char dir[64];
static int queue;

static int set_up(void **state)
{
  (void)state;
  strcpy(dir, "/tmp/heloise-pastclock-XXXXXX");
  if (!mkdtemp(dir))
    return -1;
  queue = open(dir, O_RDONLY | O_DIRECTORY);
  pastclock_open(queue);
  return queue < 0;
}

static int tear_down(void **state)
{
  (void)state;
  unlinkat(queue, "clock", 0);
  close(queue);
  return rmdir(dir);
}

static void write_file(const char *text)
{
  int fd = openat(queue, "clock", O_WRONLY | O_CREAT | O_TRUNC, 0600);

  assert_int_equal(write(fd, text, strlen(text)), strlen(text));
  close(fd);
  pastclock_open(queue);
}

static void test_nothing(void **state)
{
  (void)state;
  assert_int_equal(pastclock_skew(NOW - DAY, NOW), 0);
  pastclock_note(NOW, 59); /* less than a minute */
  assert_int_equal(faccessat(queue, "clock", F_OK, 0), -1);
}

static void test_forward(void **state)
{
  (void)state;
  pastclock_note(NOW - 400 * DAY, 400 * DAY); /* put right; seen by this run, which knows it otherwise */
  assert_int_equal(pastclock_skew(NOW - 401 * DAY, NOW), 0);
  pastclock_open(queue); /* the next run */
  assert_int_equal(pastclock_skew(NOW - 401 * DAY, NOW), 400 * DAY);
  assert_int_equal(pastclock_skew(NOW - 400 * DAY, NOW), 400 * DAY);
  assert_int_equal(pastclock_skew(NOW - 400 * DAY + 1, NOW), 0); /* it came afterwards */
}

static void test_back(void **state)
{
  (void)state;
  pastclock_note(NOW + 30 * DAY, -30 * DAY);
  pastclock_open(queue);
  assert_int_equal(pastclock_skew((uint64_t)(NOW + 29 * DAY), NOW), -30 * DAY);
  assert_int_equal(pastclock_skew(NOW - DAY, NOW), 0);
}

static void test_to_and_fro(void **state)
{
  (void)state;
  pastclock_note(631152100, NOW - 631152100); /* from 1990, */
  pastclock_note(NOW + 100, 631152000 - NOW - 100); /* back to it, */
  pastclock_note(631152300, NOW + 300 - 631152300); /* and right again */
  pastclock_open(queue);
  assert_int_equal(pastclock_skew(631152050, NOW + 900), NOW - 631152100);
  assert_int_equal(pastclock_skew(NOW + 50, NOW + 900), 0);
  assert_int_equal(pastclock_skew(631152200, NOW + 900), NOW + 300 - 631152300);
}

static void test_many(void **state)
{
  (void)state;
  for (int i = 0; i < 500; i++)
    pastclock_note(NOW + i, 100 + i);
  pastclock_open(queue);
  assert_int_equal(pastclock_skew(NOW + 499, NOW), 599);
  assert_int_equal(pastclock_skew((uint64_t)(NOW + 2000), NOW), 0);
}

static void test_strange(void **state)
{
  static const char *const texts[] = {"", "\n\n", "x", "1", "1 ", "99999999999999999999 1\n", "5 -99999999999\n",
                                      "\xff\xfe 3", "999999999999 -99999999999\n"};

  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    write_file(texts[i]);
    assert_true(pastclock_skew(NOW, NOW) == 0);
    assert_true((int64_t)NOW * 2 + pastclock_skew((uint64_t)NOW * 2, NOW) >= 0);
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {TEST(test_nothing),   TEST(test_forward), TEST(test_back),
                                     TEST(test_to_and_fro), TEST(test_many),    TEST(test_strange)};

  return cmocka_run_group_tests_name("pastclock", tests, NULL, NULL);
}
