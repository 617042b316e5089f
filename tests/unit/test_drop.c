/* test_drop.c - the files of queue/drop: written, read back, and damaged */
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

#include "queue/drop.h"
#include "queue/envelope.h"

#define HEAD "heloise-drop 1\n"

static const struct {
  const char *name, *text;
  int error; /* 0: good */
} rows[] = {
  {"least", HEAD "s \nr - - bob\n\n", 0},
  {"everything", HEAD "s a@example.org\nv abc+2B\nd HDRS\nf b\nr SUCCESS,DELAY rfc822;b@x b@example.org\n\n", 0},
  {"two recipients", HEAD "s a@example.org\nr NEVER - b@example.org\nr - - c@example.org\n\n", 0},
  {"cut in the magic", "heloise-d", EAGAIN},
  {"cut in a line", HEAD "s a@exa", EAGAIN},
  {"no empty line", HEAD "s \nr - - bob\n", EAGAIN},
  {"other file", "From: a\n\n", EBADMSG},
  {"empty line at once", HEAD "\n", EBADMSG},
  {"no sender", HEAD "r - - bob\n\n", EBADMSG},
  {"no recipient", HEAD "s a@example.org\n\n", EBADMSG},
  {"two senders", HEAD "s a@example.org\ns b@example.org\nr - - bob\n\n", EBADMSG},
  {"null recipient", HEAD "s \nr - - \n\n", EBADMSG},
  {"recipient with a space", HEAD "s \nr - - a b@example.org\n\n", EBADMSG},
  {"recipient with CR", HEAD "s \nr - - a\r@example.org\n\n", EBADMSG},
  {"too few fields", HEAD "s \nr - bob\n\n", EBADMSG},
  {"bad notify", HEAD "s \nr NEVER,SUCCESS - bob\n\n", EBADMSG},
  {"bad orcpt", HEAD "s \nr - x bob\n\n", EBADMSG},
  {"bad envid", HEAD "s \nv a b\nr - - bob\n\n", EBADMSG},
  {"bad ret", HEAD "s \nd full\nr - - bob\n\n", EBADMSG},
  {"flag of the intake", HEAD "s \nf n\nr - - bob\n\n", EBADMSG},
  {"unknown line", HEAD "s \nx y\nr - - bob\n\n", EBADMSG},
};

static void test_parse(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *why = "";
    struct drop d;
    size_t len = strlen(rows[i].text);
    int r = drop_parse(rows[i].text, len, &d, &why);
    if ((r != 0) != (rows[i].error != 0) || (r != 0 && errno != rows[i].error))
      fail_msg("%s: %d %s", rows[i].name, r, why);
    if (r == 0) {
      stralloc again = {0};
      assert_int_equal(d.body_at, len);
      assert_int_equal(drop_head(&again, &d), 0);
      assert_int_equal(again.len, len);
      assert_memory_equal(again.s, rows[i].text, len);
      stralloc_free(&again);
      drop_free(&d);
    }
  }
}

static void test_nul(void **state)
{
  static const char text[] = HEAD "s a\0b\nr - - bob\n\n";
  const char *why;
  struct drop d;

  (void)state;
  assert_int_equal(drop_parse(text, sizeof text - 1, &d, &why), -1);
  assert_int_equal(errno, EBADMSG);
}

static void test_no_injection(void **state)
{
  struct drop_rcpt r = {"bob", "", ""};
  struct drop d = {.sender = "a\nr - - eve", .envid = "", .ret = "", .nrcpt = 1, .rcpt = &r};
  stralloc out = {0};

  (void)state;
  assert_int_equal(drop_head(&out, &d), -1);
  assert_int_equal(errno, EINVAL);
  d.sender = "a";
  r.address = "bob\r\nr - - eve";
  out.len = 0;
  assert_int_equal(drop_head(&out, &d), -1);
  stralloc_free(&out);
}

static char queue[] = "/tmp/heloise-test-drop-XXXXXX";

static int make_queue(void **state)
{
  char path[128];

  (void)state;
  if (!mkdtemp(queue))
    return -1;
  snprintf(path, sizeof path, "%s/drop", queue);
  return mkdir(path, 0700);
}

static int remove_queue(void **state)
{
  char path[128];

  (void)state;
  snprintf(path, sizeof path, "%s/drop", queue);
  return rmdir(path) != 0 || rmdir(queue) != 0;
}

/* the one file in the drop directory: a descriptor; its name in `name` */
static int only_file(char name[256])
{
  char path[128];
  struct dirent *e;
  DIR *dir;
  int fd;

  snprintf(path, sizeof path, "%s/drop", queue);
  dir = opendir(path);
  assert_non_null(dir);
  *name = 0;
  while ((e = readdir(dir)) != NULL)
    if (e->d_name[0] != '.')
      memcpy(name, e->d_name, strlen(e->d_name) + 1);
  fd = *name ? openat(dirfd(dir), name, O_RDWR) : -1;
  closedir(dir);
  return fd;
}

static void remove_file(const char *name)
{
  char path[512];

  snprintf(path, sizeof path, "%s/drop/%s", queue, name);
  unlink(path);
}

static void test_file(void **state)
{
  static const char head[] = HEAD "s \nr - - bob\n\n", body[] = "A: b\r\n\r\nx\r\n";
  char name[256];
  struct drop_file f;
  const char *why;
  struct drop d;
  int fd;

  (void)state;
  assert_int_equal(drop_create(&f, queue), 0);
  assert_int_equal(drop_write(&f, head, sizeof head - 1), 0);
  assert_int_equal(drop_write(&f, body, sizeof body - 1), 0);
  fd = only_file(name);
  assert_false(drop_is_name(name));
  close(fd);
  assert_int_equal(drop_commit(&f), 0);
  fd = only_file(name);
  assert_true(drop_is_name(name));
  assert_int_equal(drop_read(fd, &d, &why), 0);
  assert_int_equal(d.body_at, sizeof head - 1);
  assert_int_equal(d.body_len, sizeof body - 1);
  assert_string_equal(d.rcpt[0].address, "bob");
  drop_free(&d);
  assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_END) - 1), 0);
  assert_int_equal(drop_read(fd, &d, &why), -1);
  assert_int_equal(errno, EBADMSG);
  close(fd);
  remove_file(name);
}

static void test_abandon(void **state)
{
  char name[256];
  struct drop_file f;

  (void)state;
  assert_int_equal(drop_create(&f, queue), 0);
  assert_int_equal(drop_write(&f, HEAD, sizeof HEAD - 1), 0);
  drop_abandon(&f);
  assert_int_equal(only_file(name), -1);
  assert_int_equal(drop_create(&f, "/nonexistent"), -1);
}

/* many recipients: the head is longer than the first block read */
static void test_many(void **state)
{
  stralloc head = {0};
  char name[256];
  struct drop_file f;
  const char *why;
  struct drop d;
  int fd;

  (void)state;
  assert_true(stralloc_cats(&head, HEAD "s \n"));
  for (int i = 0; i < 20000; i++)
    assert_true(stralloc_cats(&head, "r - - somebody@somewhere.example\n"));
  assert_true(stralloc_cats(&head, "\n"));
  assert_int_equal(drop_create(&f, queue), 0);
  assert_int_equal(drop_write(&f, head.s, head.len), 0);
  assert_int_equal(drop_commit(&f), 0);
  fd = only_file(name);
  assert_int_equal(drop_read(fd, &d, &why), 0);
  assert_int_equal(d.nrcpt, 20000);
  assert_int_equal(d.body_len, 0);
  drop_free(&d);
  close(fd);
  remove_file(name);
  stralloc_free(&head);
}

/* one message may not take all the memory there is */
static void test_too_many(void **state)
{
  stralloc head = {0};
  const char *why = "";
  struct drop d;

  (void)state;
  assert_true(stralloc_cats(&head, HEAD "s \n"));
  for (int i = 0; i <= DROP_RCPT_MAX; i++)
    assert_true(stralloc_cats(&head, "r - - a@b\n"));
  assert_true(stralloc_cats(&head, "\n"));
  assert_int_equal(drop_parse(head.s, head.len, &d, &why), -1);
  assert_int_equal(errno, EBADMSG);
  assert_string_equal(why, "too many recipients");
  stralloc_free(&head);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_parse),  cmocka_unit_test(test_nul), cmocka_unit_test(test_no_injection),
    cmocka_unit_test(test_file),   cmocka_unit_test(test_abandon), cmocka_unit_test(test_many),
    cmocka_unit_test(test_too_many),
  };
  return cmocka_run_group_tests_name("drop", tests, make_queue, remove_queue);
}
