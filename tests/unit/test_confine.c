/* test_confine.c - what programs can no longer do once they are confined
 *
 * Each case is a process of its own; as root it becomes nobody first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/confine.h"
#include "deliver/heir.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SECCOMP 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SECCOMP 0
#endif
#endif
#ifndef HAS_SECCOMP
#define HAS_SECCOMP 1
#endif

/* each: 0 when it could be done */

static int do_open(void)
{
  return open("/etc/passwd", O_RDONLY) >= 0 ? 0 : -1;
}

static int do_fork(void)
{
  pid_t pid = fork();

  if (pid == 0)
    _exit(0);
  return pid > 0 ? 0 : -1;
}

static void *nothing(void *arg)
{
  return arg;
}

static int do_thread(void)
{
  pthread_t t;

  return pthread_create(&t, NULL, nothing, NULL) == 0 && pthread_join(t, NULL) == 0 ? 0 : -1;
}

static int do_exec(void)
{
  char *argv[] = {"true", NULL};

  execve("/bin/true", argv, NULL);
  return -1;
}

/* a child of our parent's, which therefore cannot be waited for here */
static int do_heir(void)
{
  int pidfd = -1, process = heir_make(&pidfd);

  if (process == 0)
    _exit(0);
  return process > 0 && pidfd >= 0 && waitpid(process, NULL, 0) < 0 && errno == ECHILD ? 0 : -1;
}

static int do_inet(void)
{
  return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 0 : -1;
}

static int do_inet6(void)
{
  return socket(AF_INET6, SOCK_DGRAM, 0) >= 0 || errno == EAFNOSUPPORT ? 0 : -1;
}

static int do_unix(void)
{
  return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : -1;
}

static int do_packet(void)
{
  return socket(AF_NETLINK, SOCK_RAW, 0) >= 0 ? 0 : -1;
}

static int do_pair(void)
{
  int fd[2];

  return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd);
}

static int do_listen(void)
{
  int fd = socket(AF_INET, SOCK_STREAM, 0);

  return listen(fd, 1);
}

static int do_kill(void)
{
  return kill(getppid(), 0);
}

static int do_ptrace(void)
{
  return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : -1;
}

static int do_setuid(void)
{
  return setuid(getuid());
}

/* of a file it was given */
static int do_fchmod(void)
{
  int fd = memfd_create("mine", 0);

  return fd < 0 ? -1 : fchmod(fd, 0600);
}

static const struct {
  const char *program;
  int (*act)(void);
  int is_allowed, needs_seccomp;
} cases[] = {
  {"smtpd", do_open, 0, 0},    {"smtpd", do_fork, 0, 1},    {"smtpd", do_thread, 1, 0},
  {"smtpd", do_exec, 0, 0},    {"smtpd", do_inet, 0, 1},    {"smtpd", do_pair, 1, 0},
  {"smtpd", do_kill, 0, 1},    {"smtpd", do_ptrace, 0, 1},  {"smtpd", do_setuid, 0, 1},
  {"auth", do_open, 1, 0},     {"auth", do_unix, 1, 0},     {"auth", do_exec, 0, 0},
  {"auth", do_listen, 0, 1},   {"intake", do_open, 0, 0},   {"intake", do_thread, 1, 0},
  {"intake", do_inet, 0, 1},   {"intake", do_fork, 0, 1},   {"queue", do_fork, 1, 0},
  {"queue", do_exec, 1, 0},    {"queue", do_inet, 0, 1},    {"bounce", do_open, 0, 0},
  {"bounce", do_exec, 0, 0},   {"deliver", do_fork, 1, 0},  {"deliver", do_inet, 1, 0},
  {"deliver", do_unix, 0, 1},  {"deliver", do_exec, 1, 0},  {"deliver", do_open, 0, 0},
  {"local", do_fork, 1, 0},    {"local", do_open, 1, 0},    {"local", do_exec, 0, 1},
  {"resolve", do_inet6, 1, 0}, {"resolve", do_unix, 0, 1},  {"resolve", do_fork, 0, 1},
  {"resolve", do_thread, 1, 0}, {"attempt", do_inet, 1, 0}, {"attempt", do_inet6, 1, 0},
  {"attempt", do_unix, 0, 1},  {"attempt", do_packet, 0, 1}, {"attempt", do_open, 0, 0},
  {"attempt", do_fork, 0, 1},  {"attempt", do_listen, 0, 1}, {"attempt", do_kill, 0, 1},
  {"attempt", do_exec, 0, 0},  {"attempt", do_thread, 0, 1}, {"attempt", do_heir, 1, 0},
  {"attempt", do_fchmod, 0, 1}, {"smtpd", do_fchmod, 0, 1},  {"intake", do_fchmod, 1, 0},
};

static int confine(const char *program)
{
  int bin = open("/bin", O_RDONLY | O_DIRECTORY);

  if (strcmp(program, "queue") == 0 || strcmp(program, "deliver") == 0) /* start others from there */
    return confine_program(program, &bin, 1);
  if (strcmp(program, "attempt") != 0)
    return confine_program(program, NULL, 0);
  return confine_program("deliver", NULL, 0) == 0 ? confine_attempt() : -1;
}

static void become_nobody(void)
{
  struct confine_ids nobody = {.uid = 65534, .gid = 65534};

  if (geteuid() == 0 && confine_become(&nobody) != 0)
    _exit(99);
}

static int exit_of(pid_t pid)
{
  int status;

  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void test_cases(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pid_t pid;
    int got;
    if (cases[i].needs_seccomp && !HAS_SECCOMP)
      continue;
    if (!cases[i].is_allowed && !cases[i].needs_seccomp && !confine_has_landlock())
      continue;
    pid = fork();
    if (pid == 0) {
      become_nobody();
      if (confine(cases[i].program) != 0)
        _exit(98);
      _exit(cases[i].act() == 0 ? 0 : 1);
    }
    got = exit_of(pid);
    if (got != !cases[i].is_allowed)
      fail_msg("case %zu, %s: exit %d", i, cases[i].program, got);
  }
}

/* the directories given stay usable, across each other; nothing beside them */
static int use_dirs(int dir)
{
  int fd;

  become_nobody();
  if (confine_program("intake", &dir, 1) != 0)
    return 98;
  fd = openat(dir, "a/x", O_RDWR | O_CREAT, 0600);
  if (fd < 0 || write(fd, "x", 1) != 1 || renameat(dir, "a/x", dir, "b/y") != 0 ||
      unlinkat(dir, "b/y", 0) != 0)
    return 1;
  return openat(dir, "../passwd", O_RDONLY) >= 0 || open("/etc/passwd", O_RDONLY) >= 0 ? 2 : 0;
}

static void test_dirs(void **state)
{
  char top[] = "/tmp/heloise-test-confine-XXXXXX";
  int dir;
  pid_t pid;

  (void)state;
  assert_non_null(mkdtemp(top));
  dir = open(top, O_RDONLY | O_DIRECTORY);
  assert_int_equal(mkdirat(dir, "a", 0700), 0);
  assert_int_equal(mkdirat(dir, "b", 0700), 0);
  if (geteuid() == 0) {
    assert_int_equal(fchown(dir, 65534, 65534), 0);
    assert_int_equal(fchownat(dir, "a", 65534, 65534, 0), 0);
    assert_int_equal(fchownat(dir, "b", 65534, 65534, 0), 0);
  }
  pid = fork();
  if (pid == 0)
    _exit(use_dirs(dir));
  assert_int_equal(exit_of(pid), confine_has_landlock() ? 0 : 2);
  unlinkat(dir, "a", AT_REMOVEDIR);
  unlinkat(dir, "b", AT_REMOVEDIR);
  close(dir);
  assert_int_equal(rmdir(top), 0);
}

/* a program that root started without changing its user does not go on */
static void test_root(void **state)
{
  pid_t pid;

  (void)state;
  if (geteuid() != 0)
    skip();
  pid = fork();
  if (pid == 0)
    _exit(confine_program("smtpd", NULL, 0) == -1 && errno == EPERM ? 0 : 1);
  assert_int_equal(exit_of(pid), 0);
}

static void test_limits(void **state)
{
  pid_t pid = fork();

  (void)state;
  if (pid == 0) {
    struct rlimit core, files;
    become_nobody();
    confine_secrecy();
    confine_descriptors(64);
    getrlimit(RLIMIT_CORE, &core);
    getrlimit(RLIMIT_NOFILE, &files);
    _exit(core.rlim_max == 0 && files.rlim_cur >= 64 ? 0 : 1);
  }
  assert_int_equal(exit_of(pid), 0);
}

static void test_unknown(void **state)
{
  struct confine_ids ids;

  (void)state;
  assert_int_equal(confine_program("nosuch", NULL, 0), -1);
  assert_int_equal(confine_ids_find("no-such-user-here", &ids), -1);
  assert_int_equal(errno, ENOENT);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_cases),
    cmocka_unit_test(test_dirs),
    cmocka_unit_test(test_root),
    cmocka_unit_test(test_limits),
    cmocka_unit_test(test_unknown),
  };

  return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
