/* test_store.c - the queue's directories: names, commits, moves, and what fails on the way
 *
 * fdatasync, fsync and renameat2 are wrapped, to fail when told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/store.h"

/* calls until the one that fails; 0: none does */
static int fail_fdatasync, fail_fsync, fail_rename, fsyncs;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned int flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned int flags);

static int fails(int *countdown, int error)
{
  if (*countdown == 0 || --*countdown > 0)
    return 0;
  errno = error;
  return 1;
}

int __wrap_fdatasync(int fd)
{
  return fails(&fail_fdatasync, EIO) ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
  fsyncs++;
  return fails(&fail_fsync, EIO) ? -1 : __real_fsync(fd);
}

int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned int flags)
{
  return fails(&fail_rename, ENOSPC) ? -1 : __real_renameat2(a, from, b, to, flags);
}

static char dir[64];
static int queue;

static int set_up(void **state)
{
  (void)state;
  fail_fdatasync = fail_fsync = fail_rename = 0;
  strcpy(dir, "/tmp/test_store.XXXXXX");
  if (!mkdtemp(dir))
    return -1;
  queue = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return queue < 0 ? -1 : store_make(queue);
}

static int tear_down(void **state)
{
  char command[100];

  (void)state;
  close(queue);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  return system(command) == 0 ? 0 : -1;
}

/* files under a directory of the queue, subdirectories too */
static int count_in(const char *path)
{
  int fd = openat(queue, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
  DIR *d = fdopendir(fd);
  struct dirent *e;

  assert_non_null(d);
  while ((e = readdir(d))) {
    char sub[600];
    if (e->d_name[0] == '.')
      continue;
    snprintf(sub, sizeof sub, "%s/%s", path, e->d_name);
    n += e->d_type == DT_DIR ? count_in(sub) : 1;
  }
  closedir(d);
  return n;
}

static void put_file(const char *path)
{
  int fd = openat(queue, path, O_WRONLY | O_CREAT | O_EXCL, 0600);

  assert_true(fd >= 0);
  close(fd);
}

/* commits n messages as one group; their ids in id */
static void commit(struct store_commit *c, char (*id)[STORE_ID_LEN + 1], size_t n)
{
  for (size_t i = 0; i < n; i++) {
    store_fresh_id(id[i]);
    c[i] = (struct store_commit){id[i], store_create(queue, id[i]), 0};
    assert_true(c[i].fd >= 0);
    assert_int_equal(write(c[i].fd, "x", 1), 1);
  }
  store_commit(queue, c, n);
  for (size_t i = 0; i < n; i++)
    close(c[i].fd);
}

static void test_ids(void **state)
{
  static char seen[5000][STORE_ID_LEN + 1];
  static const char *const bad[] = {"", "0abcdefghjkmn1", "0abcdefghjkmn177", "0abcdefghjkmn18", "0abcdefghjkmn81",
                                    "0Abcdefghjkmn17", "0abcdefghjkin17", "0abcdefghjk/n17", "..............."};

  (void)state;
  for (int i = 0; i < 5000; i++) {
    store_fresh_id(seen[i]);
    assert_int_equal(strlen(seen[i]), STORE_ID_LEN);
    assert_true(store_is_id(seen[i], STORE_ID_LEN));
    if (i > 0)
      assert_true(memcmp(seen[i - 1], seen[i], 11) < 0); /* they grow with time */
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(store_is_id(bad[i], strlen(bad[i])));
  assert_false(store_is_id("0abcd\0fghjkmn17", STORE_ID_LEN));
  assert_true(store_hop_hash("mx:a.example", 12) != 0);
  assert_true(store_hop_hash("", 0) != 0);
}

static void test_make(void **state)
{
  static const char *const paths[] = {"tmp", "new/00", "new/77", "cur/00", "hold/77", "drop", "corrupt"};

  (void)state;
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    struct stat st;
    assert_int_equal(fstatat(queue, paths[i], &st, 0), 0);
    assert_true(S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
  }
  assert_int_equal(store_make(queue), 0); /* again: harmless */
  fail_fsync = 1;
  assert_int_equal(store_settle(queue), -1);
  fail_fsync = 0;
  assert_int_equal(store_settle(queue), 0);
  assert_int_equal(store_make(-1), -1);
  assert_true(store_free(queue) > 0);
  assert_true(store_free(-1) == UINT64_MAX);
}

static void test_commit(void **state)
{
  struct store_commit c[300];
  char id[300][STORE_ID_LEN + 1];
  struct store_name n;

  (void)state;
  fsyncs = 0;
  commit(c, id, 300);
  assert_true(fsyncs <= 3); /* a group shares its directories */
  assert_int_equal(count_in("tmp"), 0);
  assert_int_equal(count_in("new"), 300);
  for (int i = 0; i < 300; i++) {
    assert_int_equal(c[i].error, 0);
    assert_int_equal(store_find(queue, id[i], &n), 0);
    assert_int_equal(n.state, STORE_NEW);
  }
  store_commit(queue, c, 0); /* an empty group */
}

/* the n-th flush of a file, or rename, of a group of three fails: that one is refused and
 * gone, the others are durable */
static void test_one_of_a_group_fails(void **state)
{
  (void)state;
  for (int which = 0; which < 2; which++)
    for (int at = 1; at <= 3; at++) {
      struct store_commit c[3];
      char id[3][STORE_ID_LEN + 1];
      int before = count_in("new");
      *(which ? &fail_rename : &fail_fdatasync) = at;
      commit(c, id, 3);
      for (int i = 0; i < 3; i++) {
        struct store_name n;
        assert_int_equal(c[i].error, i == at - 1 ? (which ? ENOSPC : EIO) : 0);
        assert_int_equal(store_find(queue, id[i], &n), c[i].error ? -1 : 0);
      }
      assert_int_equal(count_in("tmp"), 0);
      assert_int_equal(count_in("new"), before + 2);
    }
}

/* the directory cannot be flushed: nobody of the group is told 250, nothing is left */
static void test_directory_flush_fails(void **state)
{
  struct store_commit c[3];
  char id[3][STORE_ID_LEN + 1];

  (void)state;
  do
    store_fresh_id(id[0]);
  while (memcmp(id[0] + 13, "00", 2) != 0); /* one directory for the three that follow */
  fail_fsync = 1;
  commit(c, id, 3);
  for (int i = 0; i < 3; i++)
    assert_int_equal(c[i].error, EIO);
  assert_int_equal(count_in("new"), 0);
  assert_int_equal(count_in("tmp"), 0);
  commit(c, id, 3); /* later ones are taken again */
  assert_int_equal(c[2].error, 0);
  assert_int_equal(count_in("new"), 3);
}

static void test_abandon(void **state)
{
  char id[STORE_ID_LEN + 1];
  int fd;

  (void)state;
  store_fresh_id(id);
  fd = store_create(queue, id);
  assert_true(fd >= 0);
  assert_int_equal(store_create(queue, id), -1);
  assert_int_equal(errno, EEXIST);
  close(fd);
  store_abandon(queue, id);
  assert_int_equal(count_in("tmp"), 0);
  put_file("tmp/0abcdefghjkmn17");
  put_file("tmp/something-else");
  store_sweep(queue);
  assert_int_equal(count_in("tmp"), 0);
  assert_int_equal(count_in("corrupt"), 1); /* what is no message of ours is put aside */
}

/* a clock set back and a restart: the second message is refused, the first one stays as it is */
static void test_id_made_twice(void **state)
{
  struct store_commit c[2];
  char id[2][STORE_ID_LEN + 1], path[64];
  struct stat before, after;

  (void)state;
  commit(c, id, 1);
  snprintf(path, sizeof path, "new/%s/%s", id[0] + 13, id[0]);
  assert_int_equal(fstatat(queue, path, &before, 0), 0);
  store_fresh_id(id[1]);
  for (int i = 0; i < 2; i++) {
    c[i] = (struct store_commit){id[i], store_create(queue, id[i]), 0};
    assert_true(c[i].fd >= 0);
  }
  store_commit(queue, c, 2);
  assert_int_equal(c[0].error, EEXIST);
  assert_int_equal(c[1].error, 0);
  assert_int_equal(fstatat(queue, path, &after, 0), 0);
  assert_int_equal(after.st_ino, before.st_ino);
  assert_int_equal(count_in("tmp"), 0);
  assert_int_equal(count_in("new"), 2);
  for (int i = 0; i < 2; i++)
    close(c[i].fd);
}

static void test_moves(void **state)
{
  struct store_commit c[1];
  char id[1][STORE_ID_LEN + 1];
  struct store_name n, old;
  int fd;

  (void)state;
  commit(c, id, 1);
  assert_int_equal(store_find(queue, id[0], &n), 0);
  assert_int_equal(store_move(queue, &n, STORE_CUR, 1769850000, 0xdeadbeef), 0);
  assert_int_equal(n.state, STORE_CUR);
  old = n;
  assert_int_equal(store_move(queue, &n, STORE_CUR, 1769850000, 0xdeadbeef), 0); /* the same name */
  assert_int_equal(store_move(queue, &n, STORE_HOLD, UINT32_MAX, 0), 0);
  assert_int_equal(store_find(queue, id[0], &n), 0);
  assert_int_equal(n.state, STORE_HOLD);
  assert_int_equal(n.next, UINT32_MAX);
  assert_int_equal(store_move(queue, &old, STORE_NEW, 0, 0), -1); /* it is not there any more */
  assert_int_equal(old.state, STORE_CUR);
  fd = store_open(queue, &n, O_RDWR);
  assert_true(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
  close(fd);
  assert_int_equal(store_remove(queue, &n), 0);
  assert_int_equal(store_remove(queue, &n), -1);
  assert_int_equal(errno, ENOENT);
  assert_int_equal(store_open(queue, &n, O_RDONLY), -1);
  assert_int_equal(store_find(queue, id[0], &n), -1);
  assert_int_equal(errno, ENOENT);
  assert_int_equal(store_find(queue, "../../etc/passw", &n), -1);
}

/* a move never replaces another message */
static void test_no_move_over_another(void **state)
{
  struct store_name a = {"0abcdefghjkmn17", STORE_NEW, 0, 0};

  (void)state;
  put_file("new/17/0abcdefghjkmn17");
  put_file("cur/17/0abcdefghjkmn17,00000001,00000002");
  assert_int_equal(store_move(queue, &a, STORE_CUR, 1, 2), -1);
  assert_int_equal(errno, EEXIST);
  assert_int_equal(a.state, STORE_NEW);
}

static int note(void *arg, const struct store_name *n)
{
  struct store_name **at = arg;

  *(*at)++ = *n;
  return 0;
}

static int stop(void *arg, const struct store_name *n)
{
  (void)n;
  return ++*(int *)arg == 2 ? 9 : 0;
}

static void test_scan(void **state)
{
  static const char *const good[] = {"cur/17/0abcdefghjkmn17,0000002a,deadbeef", "cur/00/0abcdefghjkmn00,ffffffff,00000000"};
  static const char *const bad[] = {
    "cur/16/0abcdefghjkmn17,0000002a,deadbeef", /* another directory's */
    "cur/17/0abcdefghjkmn17",                   "cur/17/0abcdefghjkmn17,0000002a",
    "cur/17/0abcdefghjkmn17,0000002A,deadbeef", "cur/17/0abcdefghjkmn17,0000002a,deadbeef,",
    "cur/17/0abcdefghjkmn17.0000002a,deadbeef", "cur/17/.hidden",
    "cur/17/0abcdefghjkmn17,0000002g,deadbeef", "cur/17/core",
  };
  struct store_name found[20] = {{.next = 0}}, *at = found;
  int calls = 0;

  (void)state;
  for (size_t i = 0; i < 2; i++)
    put_file(good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    put_file(bad[i]);
  assert_int_equal(mkdirat(queue, "cur/17/0abcdefghjkmn17,00000000,00000000", 0700), 0);
  assert_int_equal(symlinkat("/etc/passwd", queue, "cur/17/0abcdefghjkmn17,00000001,00000000"), 0);
  assert_int_equal(store_scan(queue, STORE_CUR, 0, note, &at), 0);
  assert_int_equal(at - found, 2);
  assert_int_equal(count_in("corrupt"), 0);
  at = found;
  assert_int_equal(store_scan(queue, STORE_CUR, 1, note, &at), 0);
  assert_int_equal(at - found, 2);
  assert_int_equal(count_in("cur"), 2);
  assert_string_equal(found[1].id, "0abcdefghjkmn17");
  assert_int_equal(found[1].next, 42);
  assert_int_equal(found[1].hop, 0xdeadbeef);
  assert_int_equal(count_in("corrupt") , sizeof bad / sizeof *bad); /* and the link, not the hidden one */
  assert_int_equal(store_scan(queue, STORE_CUR, 0, stop, &calls), 9);
  assert_int_equal(store_scan(-1, STORE_CUR, 0, stop, &calls), -1);
}

static void test_corrupt(void **state)
{
  struct store_name n = {"0abcdefghjkmn17", STORE_NEW, 0, 0};

  (void)state;
  for (int i = 1; i <= 3; i++) { /* the same name each time: none is overwritten */
    put_file("new/17/0abcdefghjkmn17");
    assert_int_equal(store_corrupt(queue, &n, "a test"), 0);
    assert_int_equal(count_in("corrupt"), i);
  }
  assert_int_equal(store_corrupt(queue, &n, "a test"), -1);
  assert_int_equal(errno, ENOENT);
}

/* what stands under a message's name but is no plain file is not opened */
static void test_open_odd_files(void **state)
{
  struct store_name n = {"0abcdefghjkmn17", STORE_NEW, 0, 0};

  (void)state;
  assert_int_equal(symlinkat("/etc/passwd", queue, "new/17/0abcdefghjkmn17"), 0);
  assert_int_equal(store_open(queue, &n, O_RDONLY), -1);
  unlinkat(queue, "new/17/0abcdefghjkmn17", 0);
  assert_int_equal(mkfifoat(queue, "new/17/0abcdefghjkmn17", 0600), 0);
  assert_int_equal(store_open(queue, &n, O_RDONLY), -1); /* and it does not wait for a writer */
  assert_int_equal(errno, EBADMSG);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
  const struct CMUnitTest tests[] = {
    TEST(test_ids),        TEST(test_make),    TEST(test_commit), TEST(test_one_of_a_group_fails),
    TEST(test_directory_flush_fails), TEST(test_id_made_twice), TEST(test_abandon), TEST(test_moves),
    TEST(test_no_move_over_another),
    TEST(test_scan),       TEST(test_corrupt), TEST(test_open_odd_files),
  };
  return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
