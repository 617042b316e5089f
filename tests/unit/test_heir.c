/* test_heir.c - processes that take each other's place, confined as attempts are */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/chan.h"
#include "common/confine.h"
#include "deliver/heir.h"
#include "deliver/report.h"

#define GENERATIONS 200

static int sock = -1;
static stralloc born;

/* what each of them does in its life; what the one before left in memory is there */
static int generation;
static char *left;

static _Noreturn void live(void)
{
  char text[64];

  if (left && strtol(left, NULL, 10) != generation)
    _exit(3);
  snprintf(text, sizeof text, "%d", ++generation);
  free(left);
  left = strdup(text);
  if (generation == GENERATIONS)
    _exit(42);
  if (report_born_packet(&born) == 0)
    heir_follow(live, sock, born.s, born.len);
  _exit(4);
}

/* how a child of ours ended, by its pidfd: its exit code, or minus the signal */
static int end_of(int process, pid_t *pid)
{
  siginfo_t how = {0};

  assert_int_equal(waitid((idtype_t)P_PIDFD, (id_t)process, &how, WEXITED), 0);
  close(process);
  *pid = how.si_pid;
  return how.si_code == CLD_EXITED ? how.si_status : -how.si_status;
}

static void begin(int fd)
{
  struct confine_ids nobody = {.uid = 65534, .gid = 65534};

  sock = fd;
  if ((geteuid() == 0 && confine_become(&nobody) != 0) || confine_attempt() != 0)
    _exit(1);
  live();
}

/* each has its own number, all are our children, and none is left over */
static void test_succession(void **state)
{
  pid_t pid, before = 0, first;
  struct wire_msg m;
  int pair[2], code = 0;

  (void)state;
  assert_int_equal(chan_pair(pair), 0);
  first = fork();
  if (first == 0) {
    close(pair[0]);
    begin(pair[1]);
  }
  close(pair[1]);
  for (int i = 1; i < GENERATIONS; i++) {
    assert_int_equal(chan_recv_blocking(pair[0], LINK_REPORT, WIRE_HIGH, 20000, &m), 1);
    assert_int_equal(m.type, WIRE_BORN);
    code = end_of(m.fd, &pid);
    assert_true(pid != before && pid != first && pid > 0);
    assert_int_equal(code, i + 1 < GENERATIONS ? 0 : 42);
    before = pid;
  }
  assert_int_equal(chan_recv_blocking(pair[0], LINK_REPORT, WIRE_HIGH, 20000, &m), 0);
  assert_int_equal(waitpid(first, &code, 0), first);
  assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
  assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

/* other flags, and what a thread is made with, are refused */
static void test_other_flags(void **state)
{
  static const unsigned long flags[] = {
    SIGCHLD, CONFINE_HEIR | CLONE_FILES, CONFINE_HEIR | CLONE_FS, CONFINE_HEIR & ~CLONE_PARENT,
    CONFINE_HEIR & ~CLONE_PIDFD, CONFINE_HEIR | CLONE_NEWUSER, CONFINE_SUCCESSOR | CLONE_THREAD | CLONE_SIGHAND,
    (CONFINE_HEIR & ~0xffUL) | SIGKILL, CONFINE_HEIR | 1UL << 40, CONFINE_HEIR | CLONE_PTRACE};
  pid_t pid = fork();
  int status;

  (void)state;
  if (pid == 0) {
    struct confine_ids nobody = {.uid = 65534, .gid = 65534};
    int process;
    if ((geteuid() == 0 && confine_become(&nobody) != 0) || confine_attempt() != 0)
      _exit(99);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
      if (syscall(SYS_clone, flags[i], NULL, &process, NULL, 0UL) != -1 || errno != EPERM)
        _exit(1 + (int)i);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
#ifndef __SANITIZE_ADDRESS__
  assert_int_equal(WEXITSTATUS(status), 0);
#endif
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_succession),
                                     cmocka_unit_test(test_other_flags)};

  return cmocka_run_group_tests_name("heir", tests, NULL, NULL);
}
