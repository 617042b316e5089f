/* test_loop.c - the event loop: timers in order, handlers that stop and close things */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/loop.h"

#define MANY 2000

struct numbered {
  struct loop_timer timer; /* first */
};

static struct numbered timers[MANY];
static size_t fired;
static uint64_t last_at;

static void on_numbered(struct loop_timer *t)
{
  assert_true(t->at >= last_at && t->at <= loop_now());
  assert_int_equal(t->place, 0);
  last_at = t->at;
  fired++;
}

static void on_end(struct loop_timer *t)
{
  (void)t;
  loop_end();
}

static struct loop_timer end_timer = {.fire = on_end};

static void run_for(uint64_t ms)
{
  assert_int_equal(loop_timer_in(&end_timer, 0), 0);
  loop_run(); /* reads the clock */
  assert_int_equal(loop_timer_in(&end_timer, ms), 0);
  loop_run();
}

static void test_order(void **state)
{
  size_t stopped = 0;

  (void)state;
  run_for(0); /* so that loop_now() is now */
  fired = 0;
  last_at = 0;
  srandom(1);
  for (size_t i = 0; i < MANY; i++) {
    timers[i].timer.fire = on_numbered;
    assert_int_equal(loop_timer_in(&timers[i].timer, (uint64_t)(random() % 100)), 0);
  }
  for (size_t i = 0; i < MANY; i++) {
    if (i % 3 == 0)
      assert_int_equal(loop_timer_in(&timers[i].timer, (uint64_t)(random() % 100)), 0); /* rearmed */
    if (i % 5 == 0) {
      loop_timer_stop(&timers[i].timer);
      loop_timer_stop(&timers[i].timer); /* harmless */
      stopped++;
    }
  }
  run_for(150);
  assert_int_equal(fired, MANY - stopped);
}

static int rearmed;

static void on_rearm(struct loop_timer *t)
{
  rearmed++;
  assert_int_equal(loop_timer_in(t, 0), 0);
}

/* one that rearms itself at once holds up nobody */
static void test_rearming_timer(void **state)
{
  struct loop_timer t = {.fire = on_rearm};

  (void)state;
  rearmed = 0;
  loop_timer_in(&t, 0);
  run_for(20);
  assert_true(rearmed > 1);
  loop_timer_stop(&t);
}

static struct loop_timer other;

static void on_stopper(struct loop_timer *t)
{
  (void)t;
  loop_timer_stop(&other);
}

/* a timer that another one stopped in the same moment does not fire */
static void test_stopped_by_another(void **state)
{
  struct loop_timer t = {.fire = on_stopper};

  (void)state;
  fired = 0;
  other.fire = on_numbered;
  loop_timer_in(&t, 0);
  loop_timer_in(&other, 0);
  run_for(10);
  assert_int_equal(fired, 0);
}

struct end {
  struct loop_handler handler; /* first */
  int reads, writes;
  struct end *kills;
  int kills_fd;
};

static void on_ready(struct loop_handler *h, int fd, int events)
{
  struct end *e = (struct end *)h;
  char buf[100];

  if (events & LOOP_READ) {
    ssize_t n = read(fd, buf, sizeof buf);
    if (n < 0 && errno == EAGAIN) {
      loop_drained(fd, LOOP_READ);
      return;
    }
    e->reads++;
    if (n == 0)
      loop_close(fd);
    if (e->kills) {
      loop_close(e->kills_fd);
      e->kills = NULL;
    }
  }
  if (events & LOOP_WRITE) {
    e->writes++;
    loop_want(fd, LOOP_READ);
  }
}

static void test_pipes(void **state)
{
  struct end in = {.handler = {on_ready}}, out = {.handler = {on_ready}};
  int fd[2];

  (void)state;
  assert_int_equal(pipe(fd), 0);
  assert_int_equal(loop_add(fd[0], &in.handler), 0);
  assert_int_equal(loop_add(fd[1], &out.handler), 0);
  assert_int_equal(write(fd[1], "x", 1), 1);
  run_for(10);
  assert_int_equal(in.reads + out.writes, 0); /* nothing was wanted */
  loop_want(fd[0], LOOP_READ);
  run_for(10);
  assert_int_equal(in.reads, 1);
  loop_want(fd[1], LOOP_WRITE);
  run_for(10);
  assert_int_equal(out.writes, 1);
  loop_want(fd[1], 0);
  loop_close(fd[1]);
  run_for(10);
  assert_int_equal(in.reads, 2); /* the end: it closed itself */
  assert_int_equal(loop_add(-1, &in.handler), -1);
}

/* two are ready, the first one served closes the other */
static void test_handler_closes_another(void **state)
{
  struct end a = {.handler = {on_ready}}, b = {.handler = {on_ready}};
  int one[2], two[2];

  (void)state;
  assert_int_equal(pipe(one), 0);
  assert_int_equal(pipe(two), 0);
  loop_add(one[0], &a.handler);
  loop_add(two[0], &b.handler);
  a.kills = &b;
  a.kills_fd = two[0];
  b.kills = &a;
  b.kills_fd = one[0];
  loop_want(one[0], LOOP_READ);
  loop_want(two[0], LOOP_READ);
  assert_int_equal(write(one[1], "x", 1), 1);
  assert_int_equal(write(two[1], "x", 1), 1);
  run_for(10);
  assert_int_equal(a.reads + b.reads, 1);
  loop_close(a.reads ? one[0] : two[0]);
  close(one[1]);
  close(two[1]);
}

/* closed from outside its handler, a descriptor is closed at once, also after it was served and
 * whatever libowfat's lists say; its number is good for the next one */
static void test_closed_from_outside(void **state)
{
  enum { PAIRS = 12 };
  struct end e = {.handler = {on_ready}};
  int fd[PAIRS][2];

  (void)state;
  for (int round = 0; round < 6; round++) {
    for (int i = 0; i < PAIRS; i++) {
      assert_int_equal(pipe(fd[i]), 0);
      assert_int_equal(loop_add(fd[i][0], &e.handler), 0);
      loop_want(fd[i][0], LOOP_READ);
      assert_int_equal(write(fd[i][1], "x", 1), 1);
    }
    e.reads = 0;
    run_for(10);
    assert_int_equal(e.reads, PAIRS);
    if (round % 2)
      assert_int_equal(write(fd[3][1], "x", 1), 1);
    if (round % 3 == 2)
      run_for(5);
    for (int i = 0; i < PAIRS; i++) {
      int at = (i * 5 + round) % PAIRS;
      if (round == 4)
        loop_want(fd[at][0], 0);
      loop_close(fd[at][0]);
      assert_int_equal(fcntl(fd[at][0], F_GETFD), -1);
      close(fd[at][1]);
    }
  }
}

static int turns;

static void on_turn(void)
{
  turns++;
}

static void test_after_turn(void **state)
{
  (void)state;
  turns = 0;
  loop_after_turn(on_turn);
  run_for(0);
  assert_true(turns > 0);
  loop_after_turn(NULL);
}

/* every program has a control channel: libowfat's loop needs one descriptor at least */
static int set_up(void **state)
{
  static struct end idle = {.handler = {on_ready}};
  int fd[2];

  (void)state;
  return pipe(fd) == 0 ? loop_add(fd[0], &idle.handler) : -1;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_order),              cmocka_unit_test(test_rearming_timer),
    cmocka_unit_test(test_stopped_by_another), cmocka_unit_test(test_pipes),
    cmocka_unit_test(test_handler_closes_another), cmocka_unit_test(test_after_turn),
    cmocka_unit_test(test_closed_from_outside),
  };
  return cmocka_run_group_tests_name("loop", tests, set_up, NULL);
}
