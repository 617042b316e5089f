/* test_jobs.c - what the spawner makes of processes that do not do as they should
 *
 * The stem is replaced: the test holds both ends of REPORT, and children of its own stand for
 * attempts. The manager is replaced too: what it is told is kept as text. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/loop.h"
#include "common/settings.h"
#include "deliver/jobs.h"
#include "deliver/relay.h"
#include "deliver/report.h"
#include "deliver/stems.h"

static unsigned int stem = 1; /* 0: there is none */
static int theirs[64], births, renewals; /* LOW ends the stem was given */
static char told[4096];                  /* FINISHED: "NUMBER OUTCOME;" */

unsigned int __wrap_stems_birth(int report);
unsigned int __wrap_stems_birth(int report)
{
  theirs[births++] = dup(report);
  return stem;
}

void __wrap_stems_renew(void);
void __wrap_stems_renew(void)
{
  renewals++;
}

void __wrap_relay_tell(const struct wire_out *o);
void __wrap_relay_tell(const struct wire_out *o)
{
  size_t n = strlen(told);

  if (o->type == WIRE_FINISHED)
    snprintf(told + n, sizeof told - n, "%.*s %.*s;", (int)o->f[0].len, o->f[0].s, (int)o->f[1].len,
             o->f[1].s);
}

/* ---- the loop, for a moment */

static void end_loop(struct loop_timer *t)
{
  (void)t;
  loop_end();
}

static void turn_for(uint64_t ms)
{
  struct loop_timer t = {.fire = end_loop};

  assert_int_equal(loop_timer_in(&t, ms), 0);
  loop_run();
}

static void turn(void)
{
  turn_for(30);
}

/* ---- processes */

static int asleep(pid_t *pid)
{
  *pid = fork();
  if (*pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(3, ~0U, 0);
    for (;;)
      pause();
  }
  return (int)syscall(SYS_pidfd_open, *pid, 0);
}

static int is_there(pid_t pid)
{
  return kill(pid, 0) == 0;
}

static void start(uint64_t number)
{
  struct job_wanted w = {.number = number, .id = "id", .nexthop = "host:[192.0.2.1]:25",
                         .ranges = "0", .message = memfd_create("message", 0)};

  told[0] = 0;
  jobs_start(&w);
}

/* the next message on the attempt's side must be of this type */
static void expect(int sock, enum wire_type type)
{
  struct wire_msg m;

  if (chan_recv_blocking(sock, LINK_REPORT, WIRE_LOW, 2000, &m) != 1)
    fail_msg("%s does not come", wire_name(type));
  if (m.type != type)
    fail_msg("%s instead of %s", wire_name(m.type), wire_name(type));
  if (m.fd >= 0)
    close(m.fd);
}

static void expect_end(int sock)
{
  struct wire_msg m;

  assert_int_equal(chan_recv_blocking(sock, LINK_REPORT, WIRE_LOW, 2000, &m), 0);
}

static void say_born(int sock, pid_t *pid)
{
  int process = asleep(pid);

  assert_int_equal(report_born(sock, process), 0);
  close(process);
}

static const stralloc nothing;
static const struct report_result delivered = {.recipient = 0, .verdict = V_OK, .status = "2.0.0",
                                               .text = "250 ok"};
static const struct report_last last = {&nothing, &delivered}, no_result = {&nothing, NULL};

/* an attempt that has its job */
static int running(uint64_t number, pid_t *pid)
{
  int sock;

  start(number);
  sock = theirs[births - 1];
  say_born(sock, pid);
  turn();
  expect(sock, WIRE_JOB);
  return sock;
}

/* ---- what should happen */

static void test_plain(void **state)
{
  pid_t pid;
  int sock = running(1, &pid);

  (void)state;
  assert_int_equal(report_ended(sock, &last), 0);
  turn();
  assert_string_equal(told, "1 reported;");
  close(sock);
  turn();
  assert_false(is_there(pid));
}

static void test_stays(void **state)
{
  pid_t first, second;
  int sock = running(1, &first), before = births;

  (void)state;
  assert_int_equal(report_stays(sock, "192.0.2.1:25", 60000, &last), 0);
  turn();
  assert_string_equal(told, "1 reported;");
  start(2);
  turn();
  assert_int_equal(births, before);
  expect(sock, WIRE_JOB);
  say_born(sock, &second);
  assert_int_equal(report_ended(sock, &last), 0);
  turn();
  assert_string_equal(told, "2 reported;");
  close(sock);
  turn();
  assert_false(is_there(first));
  assert_false(is_there(second));
}

/* it may have ended before its maker came to say BORN */
static void test_born_late(void **state)
{
  pid_t first, second;
  int sock = running(1, &first);

  (void)state;
  assert_int_equal(report_stays(sock, "192.0.2.1:25", 60000, &last), 0);
  turn();
  start(2);
  expect(sock, WIRE_JOB);
  assert_int_equal(report_stays(sock, "192.0.2.1:25", 60000, &last), 0);
  turn();
  assert_string_equal(told, "2 reported;");
  say_born(sock, &second);
  turn();
  start(3);
  expect(sock, WIRE_JOB);
  close(sock); /* dies before there is a child: the job is another process' */
  turn();
  assert_string_equal(told, "");
  assert_false(is_there(second));
  sock = theirs[births - 1];
  say_born(sock, &second);
  turn();
  expect(sock, WIRE_JOB);
  assert_int_equal(report_ended(sock, &last), 0);
  close(sock);
  turn();
  assert_string_equal(told, "3 reported;");
}

static void test_time_is_over(void **state)
{
  uint64_t saved = settings.session_reuse_idle;
  pid_t pid;
  int sock;

  (void)state;
  settings.session_reuse_idle = 10;
  sock = running(1, &pid);
  assert_int_equal(report_stays(sock, "192.0.2.1:25", 60000, &last), 0);
  turn_for(60);
  expect(sock, WIRE_LEAVE);
  close(sock);
  turn();
  assert_false(is_there(pid));
  settings.session_reuse_idle = saved;
}

static void test_limit(void **state)
{
  uint64_t saved = settings.attempt_time_limit;
  pid_t pid;
  int sock;

  (void)state;
  settings.attempt_time_limit = 10;
  sock = running(1, &pid);
  turn_for(60);
  assert_string_equal(told, "1 the attempt took longer than attempt-time-limit;");
  close(sock);
  turn();
  assert_false(is_there(pid));
  settings.attempt_time_limit = saved;
}

static void test_renewed(void **state)
{
  pid_t pid;
  int sock = running(1, &pid);

  (void)state;
  assert_int_equal(report_stays(sock, "192.0.2.1:25", 60000, &last), 0);
  turn();
  jobs_renew();
  expect(sock, WIRE_LEAVE);
  close(sock);
  sock = running(2, &pid); /* began with old tables, or another resolver: it may end, not stay */
  jobs_renew();
  assert_int_equal(report_stays(sock, "192.0.2.1:25", 60000, &last), 0);
  turn();
  assert_string_equal(told, "2 reported;");
  expect(sock, WIRE_LEAVE);
  close(sock);
  turn();
}

static void test_room(void **state)
{
  uint64_t saved = settings.destination_attempts;
  pid_t pid[3];
  int sock[3];

  (void)state;
  settings.destination_attempts = 2;
  for (size_t i = 0; i < 3; i++)
    sock[i] = running(i, &pid[i]);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(report_stays(sock[i], "192.0.2.1:25", 60000, &last), 0);
    turn();
  }
  expect(sock[0], WIRE_LEAVE); /* the one that was kept longest */
  settings.destination_attempts = saved;
  settings.queue_attempts = 1;
  for (size_t i = 0; i < 3; i++)
    close(sock[i]);
  turn();
  settings.queue_attempts = 100;
}

static void test_left(void **state)
{
  pid_t pid;
  int sock = running(1, &pid);

  (void)state;
  assert_int_equal(report_stays(sock, "192.0.2.1:25", 60000, &last), 0);
  assert_int_equal(report_left(sock), 0);
  turn();
  expect(sock, WIRE_LEAVE);
  close(sock);
  turn();
}

/* ---- what should not */

static void test_dies_unborn(void **state)
{
  pid_t pid;
  int before;

  (void)state;
  start(1);
  before = births;
  close(theirs[births - 1]);
  turn();
  assert_int_equal(births, before + 1);
  say_born(theirs[births - 1], &pid);
  turn();
  expect(theirs[births - 1], WIRE_JOB);
  assert_int_equal(report_ended(theirs[births - 1], &last), 0);
  close(theirs[births - 1]);
  turn();
  assert_string_equal(told, "1 reported;");
}

/* its stem may have borne it, and died before it said so */
static void test_stem_dies(void **state)
{
  pid_t pid;
  int sock, before;

  (void)state;
  start(1);
  before = births;
  sock = theirs[births - 1];
  stem = 2;
  jobs_stem_gone(7);
  assert_int_equal(births, before);
  jobs_stem_gone(1);
  assert_int_equal(births, before + 1);
  expect_end(sock);
  close(sock);
  sock = theirs[births - 1];
  say_born(sock, &pid);
  turn();
  jobs_stem_gone(2); /* who is born already needs it no more */
  expect(sock, WIRE_JOB);
  assert_int_equal(report_ended(sock, &last), 0);
  close(sock);
  turn();
  assert_string_equal(told, "1 reported;");
  stem = 1;
}

/* without a stem a job waits, and is told of when there is none for long */
static void test_no_stem(void **state)
{
  pid_t pid;
  int sock, before = births;

  (void)state;
  stem = 0;
  start(1);
  assert_int_equal(births, before + 1);
  close(theirs[births - 1]);
  turn_for(700);
  assert_string_equal(told, "");
  close(theirs[births - 1]);
  stem = 1;
  turn_for(700);
  sock = theirs[births - 1];
  say_born(sock, &pid);
  turn();
  expect(sock, WIRE_JOB);
  assert_int_equal(report_ended(sock, &last), 0);
  close(sock);
  turn();
  assert_string_equal(told, "1 reported;");
}

static void test_fault_unborn(void **state)
{
  (void)state;
  start(1);
  report_ended(theirs[births - 1], &(struct report_last){&nothing, &delivered});
  turn();
  send(theirs[births - 1], "x", 1, 0);
  turn();
  assert_string_equal(told, "1 reported;");
  close(theirs[births - 1]);
  start(2);
  send(theirs[births - 1], "x", 1, 0);
  turn();
  assert_non_null(strstr(told, "2 sent what does not parse"));
  close(theirs[births - 1]);
}

static void test_abandoned(void **state)
{
  pid_t pid;
  int sock;

  (void)state;
  start(1);
  sock = theirs[births - 1];
  jobs_abandon(); /* before it is born */
  say_born(sock, &pid);
  turn();
  close(sock);
  turn();
  assert_false(is_there(pid));
  assert_string_equal(told, "");
}

/* each is a fault: the process is killed, its job ends, and a new stem is asked for */
static void fault_born_twice(int sock)
{
  pid_t pid;

  say_born(sock, &pid);
  turn();
  kill(pid, SIGKILL);
}

static void fault_no_result(int sock)
{
  struct report_result bad = delivered;

  bad.status = "";
  report_ended(sock, &(struct report_last){&nothing, &bad});
}

static void fault_no_address(int sock)
{
  report_stays(sock, "somewhere", 1, &no_result);
}

static void fault_speaks_after_end(int sock)
{
  report_ended(sock, &no_result);
  report_said(sock, &delivered);
}

static void fault_ends_twice(int sock)
{
  report_stays(sock, "192.0.2.1:25", 60000, &no_result);
  report_ended(sock, &no_result);
}

static void fault_no_message(int sock)
{
  send(sock, "x", 1, 0);
}

static void test_faults(void **state)
{
  static const struct {
    const char *what, *told;
    void (*act)(int sock);
  } c[] = {
    {"BORN twice", "1 sent what does not parse: BORN;", fault_born_twice},
    {"a malformed result", "1 sent what does not parse: ENDED;", fault_no_result},
    {"STAYS nowhere", "1 sent what does not parse: STAYS;", fault_no_address},
    {"speaks after the end", "1 reported;", fault_speaks_after_end},
    {"ends twice", "1 reported;", fault_ends_twice},
    {"no message", NULL, fault_no_message},
  };

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    pid_t pid;
    int sock = running(1, &pid);
    renewals = 0;
    c[i].act(sock);
    turn();
    if (is_there(pid) || renewals != 1 || (c[i].told && strcmp(told, c[i].told) != 0))
      fail_msg("%s: %s, %d renewals, told %s", c[i].what, is_there(pid) ? "alive" : "gone", renewals,
               told);
    expect_end(sock);
    close(sock);
  }
}

/* a descriptor of something that is no child of ours is nobody's process: nothing is killed by it */
static void test_not_ours(void **state)
{
  int self = (int)syscall(SYS_pidfd_open, getpid(), 0), file = memfd_create("x", 0);

  (void)state;
  for (int i = 0; i < 2; i++) {
    int sock;
    start(1);
    sock = theirs[births - 1];
    assert_int_equal(report_born(sock, i ? file : self), 0);
    turn();
    expect(sock, WIRE_JOB);
    report_ended(sock, &last);
    close(sock);
    turn();
    assert_string_equal(told, "1 reported;");
  }
  close(self);
  close(file);
}

static int ask_nobody(void)
{
  return -1;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_plain),      cmocka_unit_test(test_stays),
    cmocka_unit_test(test_born_late),  cmocka_unit_test(test_time_is_over),
    cmocka_unit_test(test_limit),      cmocka_unit_test(test_renewed),
    cmocka_unit_test(test_room),       cmocka_unit_test(test_left),
    cmocka_unit_test(test_dies_unborn), cmocka_unit_test(test_abandoned),
    cmocka_unit_test(test_stem_dies), cmocka_unit_test(test_no_stem),
    cmocka_unit_test(test_fault_unborn),   cmocka_unit_test(test_faults),    cmocka_unit_test(test_not_ours)};

  settings.session_reuse_idle = 60000;
  settings.attempt_time_limit = 60000;
  settings.destination_attempts = 20;
  settings.queue_attempts = 100;
  jobs_ask = ask_nobody;
  return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
