/* test_init.c - heloise init: new directories are flushed, and in their parent
 *
 * fsync is wrapped, to see what is flushed and to fail when told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/verdict.h"
#include "conf/flush.h"
#include "conf/init.h"

#define FLUSHED_MAX 1000

static ino_t flushed[FLUSHED_MAX];
static size_t flushes;
static ino_t failing; /* fsync of it gives EIO */

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
  struct stat st;

  assert_int_equal(fstat(fd, &st), 0);
  if (flushes < FLUSHED_MAX)
    flushed[flushes++] = st.st_ino;
  errno = EIO;
  return st.st_ino == failing ? -1 : __real_fsync(fd);
}

static ino_t number_of(const char *dir, const char *name)
{
  char path[256];
  struct stat st;

  snprintf(path, sizeof path, "%s/%s", dir, name);
  assert_int_equal(stat(path, &st), 0);
  return st.st_ino;
}

static int is_flushed(ino_t number)
{
  for (size_t i = 0; i < flushes; i++)
    if (flushed[i] == number)
      return 1;
  return 0;
}

struct place {
  char top[64], dir[80];
};

static void setup(struct place *p)
{
  *p = (struct place){.top = "/tmp/heloise-test-init-XXXXXX"};
  assert_non_null(mkdtemp(p->top));
  snprintf(p->dir, sizeof p->dir, "%s/i", p->top);
  flushes = 0;
  failing = 0;
}

static void teardown(const struct place *p)
{
  char command[128];

  snprintf(command, sizeof command, "rm -rf '%s'", p->top);
  assert_int_equal(system(command), 0);
}

static int init(const char *dir)
{
  struct instance i;
  char *argv[] = {(char[]){"init"}, (char[]){"--hostname"}, (char[]){"mx.example.org"}, NULL};
  int r;

  assert_int_equal(instance_find(&i, dir), 0);
  r = init_command(&i, 3, argv);
  free(i.dir);
  free(i.control);
  free(i.queue);
  free(i.state);
  free(i.run);
  free(i.mail);
  return r;
}

static void test_directories_are_flushed(void **state)
{
  static const char *const dirs[] = {"..", ".", "control", "queue", "queue/new", "state", "run", "mail"};
  struct place p;

  (void)state;
  setup(&p);
  assert_int_equal(init(p.dir), EXIT_OK);
  for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++)
    if (!is_flushed(number_of(p.dir, dirs[i])))
      fail_msg("%s is not flushed", dirs[i]);
  teardown(&p);
}

static void test_a_failed_flush_is_no_instance(void **state)
{
  struct place p;
  char settings[128];

  (void)state;
  setup(&p);
  failing = number_of(p.top, ".");
  assert_int_not_equal(init(p.dir), EXIT_OK);
  snprintf(settings, sizeof settings, "%s/control/settings", p.dir);
  assert_int_not_equal(access(settings, F_OK), 0);
  teardown(&p);
}

static void test_parent(void **state)
{
  struct place p;
  int fd;

  (void)state;
  setup(&p);
  assert_int_equal(mkdir(p.dir, 0700), 0);
  fd = open(p.dir, O_RDONLY | O_DIRECTORY);
  assert_int_equal(flush_parent(fd), 0);
  assert_int_equal(flushes, 1);
  assert_true(is_flushed(number_of(p.top, ".")));
  failing = number_of(p.top, ".");
  assert_int_equal(flush_parent(fd), -1);
  assert_int_equal(errno, EIO);
  assert_int_equal(chmod(p.top, 0300), 0); /* not to be read: something else flushes it */
  if (geteuid() != 0)
    assert_int_equal(flush_parent(fd), 0);
  assert_int_equal(chmod(p.top, 0700), 0);
  close(fd);
  assert_int_equal(flush_new_dir("/nonexistent/heloise"), -1);
  teardown(&p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_directories_are_flushed),
    cmocka_unit_test(test_a_failed_flush_is_no_instance),
    cmocka_unit_test(test_parent),
  };

  /* an instance of root's would need users of its own */
  if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
    return 1;
  return cmocka_run_group_tests_name("init", tests, NULL, NULL);
}
