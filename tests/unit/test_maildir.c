/* test_maildir.c - one message into a Maildir, with and without failing system calls */
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deliver/maildir.h"

int __real_fsync(int fd);
int __wrap_fsync(int fd);
ssize_t __real_write(int fd, const void *s, size_t len);
ssize_t __wrap_write(int fd, const void *s, size_t len);

static int fail_fsync, fail_write; /* which call from now on fails; 0: none */
static int fsyncs;

int __wrap_fsync(int fd)
{
  fsyncs++;
  if (fail_fsync > 0 && --fail_fsync == 0) {
    errno = EIO;
    return -1;
  }
  return __real_fsync(fd);
}

ssize_t __wrap_write(int fd, const void *s, size_t len)
{
  if (fail_write > 0 && --fail_write == 0) {
    errno = EDQUOT;
    return -1;
  }
  return __real_write(fd, s, len);
}

struct place {
  char dir[64];
  int fd;
};

static int setup(void **state)
{
  struct place *p = calloc(1, sizeof *p);

  strcpy(p->dir, "/tmp/heloise-maildir-XXXXXX");
  if (!mkdtemp(p->dir))
    return -1;
  p->fd = open(p->dir, O_RDONLY | O_DIRECTORY);
  fail_fsync = fail_write = fsyncs = 0;
  *state = p;
  return p->fd < 0;
}

static int teardown(void **state)
{
  struct place *p = *state;
  char command[100];

  close(p->fd);
  snprintf(command, sizeof command, "rm -rf %s", p->dir);
  if (system(command) != 0)
    return -1;
  free(p);
  return 0;
}

static int message(const char *body, size_t len)
{
  int fd = memfd_create("message", MFD_CLOEXEC);

  assert_int_equal(__real_write(fd, "envelope", 8), 8);
  assert_int_equal(__real_write(fd, body, len), (ssize_t)len);
  assert_int_equal(__real_write(fd, "end", 3), 3);
  return fd;
}

static int deliver_to(struct place *p, const char *path, const char *body, size_t len,
                      const char **what)
{
  struct maildir_message m = {.fd = message(body, len), .at = 8, .len = len,
                              .sender = "s\r\n@x.example", .recipient = "alice@here.example",
                              .hostname = "a:b/c"};
  int r = maildir_deliver(p->fd, path, &m, what), e = errno;

  close(m.fd);
  errno = e;
  return r;
}

/* how many files; the last one's path in found */
static int count(struct place *p, const char *dir, char found[1024])
{
  char path[300];
  int n = 0;
  DIR *d;
  struct dirent *e;

  snprintf(path, sizeof path, "%s/%s", p->dir, dir);
  d = opendir(path);
  while (d && (e = readdir(d)))
    if (e->d_name[0] != '.') {
      n++;
      snprintf(found, 1024, "%s/%s", path, e->d_name);
    }
  if (d)
    closedir(d);
  return n;
}

static void delivers(void **state)
{
  struct place *p = *state;
  static const char body[] = "A: b\r\n\r\nline\r\n.dot\r\nbare \r cr\r\n\r\r\n";
  char found[1024], got[500];
  const char *what;
  struct stat st;
  int fd;
  ssize_t n;

  assert_int_equal(deliver_to(p, "sub/Maildir/", body, sizeof body - 1, &what), 0);
  assert_int_equal(count(p, "sub/Maildir/tmp", found), 0);
  assert_int_equal(count(p, "sub/Maildir/cur", found), 0);
  assert_int_equal(count(p, "sub/Maildir/new", found), 1);
  assert_non_null(strstr(found, ".a\\072b\\057c"));
  assert_int_equal(stat(found, &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  fd = open(found, O_RDONLY);
  n = read(fd, got, sizeof got - 1);
  close(fd);
  got[n] = 0;
  assert_string_equal(got, "Return-Path: <s@x.example>\nDelivered-To: alice@here.example\n"
                           "A: b\n\nline\n.dot\nbare \r cr\n\r\n");
  assert_true(fsyncs >= 2);
  assert_int_equal(deliver_to(p, "sub/Maildir/", "", 0, &what), 0);
  assert_int_equal(deliver_to(p, "sub/Maildir/", "no line end", 11, &what), 0);
  assert_int_equal(count(p, "sub/Maildir/new", found), 3);
}

/* pieces of any size give the same */
static void converts_lines(void **state)
{
  static const char in[] = "a\r\nb\rc\r\r\n\n\r\r", whole[] = "a\nb\rc\r\n\n\r\r";
  char out[64], buffer[64];

  (void)state;
  for (size_t size = 1; size < sizeof in; size++) {
    size_t n = 0, len = sizeof in - 1;
    int has_cr = 0;
    for (size_t at = 0; at < len; at += size) {
      size_t got = maildir_lines(in + at, len - at < size ? len - at : size, &has_cr, buffer);
      assert_true(got <= size + 1);
      memcpy(out + n, buffer, got);
      n += got;
    }
    if (has_cr)
      out[n++] = '\r';
    assert_int_equal(n, sizeof whole - 1);
    assert_memory_equal(out, whole, n);
  }
}

static void leaves_nothing_behind(void **state)
{
  struct place *p = *state;
  char found[1024];
  const char *what;

  assert_int_equal(deliver_to(p, "m/", "x\r\n", 3, &what), 0);
  for (int i = 1; i <= 3; i++) {
    fail_write = i;
    assert_int_equal(deliver_to(p, "m/", "x\r\n", 3, &what), -1);
    assert_int_equal(errno, EDQUOT);
    assert_string_equal(what, "writing the message");
  }
  fail_fsync = 1;
  assert_int_equal(deliver_to(p, "m/", "x\r\n", 3, &what), -1);
  assert_string_equal(what, "flushing the message");
  assert_int_equal(count(p, "m/tmp", found), 0);
  assert_int_equal(count(p, "m/new", found), 1);
}

/* the directory's flush failed: it may be there, and is not reported as delivered */
static void doubts_unflushed_directory(void **state)
{
  struct place *p = *state;
  const char *what;

  assert_int_equal(deliver_to(p, "m/", "x\r\n", 3, &what), 0);
  fail_fsync = 2;
  assert_int_equal(deliver_to(p, "m/", "x\r\n", 3, &what), -1);
  assert_string_equal(what, "flushing the directory new");
}

static void follows_no_links(void **state)
{
  struct place *p = *state;
  const char *what;

  assert_int_equal(mkdirat(p->fd, "m", 0700), 0);
  assert_int_equal(symlinkat("/tmp", p->fd, "m/new"), 0);
  assert_int_equal(deliver_to(p, "m/", "x\r\n", 3, &what), -1);
  assert_int_equal(symlinkat("m", p->fd, "n"), 0);
  assert_int_equal(deliver_to(p, "n/", "x\r\n", 3, &what), -1);
  assert_string_equal(what, "opening the Maildir");
  assert_int_equal(close(openat(p->fd, "f", O_CREAT | O_WRONLY, 0600)), 0);
  assert_int_equal(deliver_to(p, "f/", "x\r\n", 3, &what), -1);
  assert_int_equal(errno, ENOTDIR);
}

static void reads_short_file(void **state)
{
  struct place *p = *state;
  char found[1024];
  const char *what;
  struct maildir_message m = {.fd = message("x\r\n", 3), .at = 8, .len = 5000, .sender = "",
                              .recipient = "a", .hostname = "h"};

  assert_int_equal(maildir_deliver(p->fd, "m/", &m, &what), -1);
  assert_int_equal(errno, EIO);
  assert_int_equal(count(p, "m/tmp", found) + count(p, "m/new", found), 0);
  close(m.fd);
}

int main(void)
{
#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
    WITH_PLACE(delivers),         cmocka_unit_test(converts_lines),
    WITH_PLACE(leaves_nothing_behind), WITH_PLACE(doubts_unflushed_directory),
    WITH_PLACE(follows_no_links), WITH_PLACE(reads_short_file),
  };

  return cmocka_run_group_tests_name("maildir", tests, NULL, NULL);
}
