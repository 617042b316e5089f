/* test_history.c - the story after the end mark: written, read back, bounded, damaged */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/history.h"

#define BEFORE "what stands before the history\n"

static const struct envelope e = {.history_at = sizeof BEFORE - 1};

static int file_with(const char *s, size_t len)
{
  int fd = memfd_create("message", MFD_CLOEXEC);

  assert_true(fd >= 0);
  assert_int_equal(write(fd, BEFORE, sizeof BEFORE - 1), sizeof BEFORE - 1);
  assert_int_equal(write(fd, s, len), len);
  return fd;
}

static off_t size_of(int fd)
{
  struct stat st;

  assert_int_equal(fstat(fd, &st), 0);
  return st.st_size;
}

struct told {
  int n, stop_at;
  char text[1000]; /* "kind time attempt n field1 field2;" for each */
  uint64_t first, last;
};

static int tell(void *arg, const struct history_line *l)
{
  struct told *t = arg;
  size_t at = strlen(t->text);

  for (size_t i = l->n; i < HISTORY_FIELDS; i++)
    assert_string_equal(l->field[i], ""); /* never NULL */
  if (t->n++ == 0)
    t->first = l->time;
  t->last = l->time;
  if (at < 500)
    snprintf(t->text + at, sizeof t->text - at, "%c %llu %u %zu %.30s %.30s;", l->kind, (unsigned long long)l->time,
             l->attempt, l->n, l->field[0], l->field[1]);
  return t->n == t->stop_at ? 5 : 0;
}

static void test_made_and_read(void **state)
{
  const char *const hostile[] = {"a\tb\nc", "\"\\\x1b\x80", "", "x"};
  stralloc lines = {0};
  struct told t = {0}, stopped = {.stop_at = 1};
  int fd = file_with("", 0);

  (void)state;
  assert_int_equal(history_line_make(&lines, 'o', 1769850000, 65535, (const char *const[]){"mx:a.example", "0-4,9"}, 2), 0);
  assert_int_equal(history_line_make(&lines, 's', 5, 1, hostile, 4), 0);
  assert_int_equal(history_append(fd, &e, &lines), 0);
  assert_int_equal(history_line_make(&lines, 'o', 6, 2, NULL, 0), 0);
  assert_int_equal(history_append(fd, &e, &lines), 0);
  assert_int_equal(history_each(fd, &e, tell, &t), 0);
  assert_string_equal(t.text, "o 1769850000 65535 2 mx:a.example 0-4,9;"
                              "s 5 1 4 a\\x09b\\x0ac \\x22\\x5c\\x1b\\x80;"
                              "o 1769850000 65535 2 mx:a.example 0-4,9;"
                              "s 5 1 4 a\\x09b\\x0ac \\x22\\x5c\\x1b\\x80;o 6 2 0  ;");
  assert_int_equal(history_each(fd, &e, tell, &stopped), 5);
  assert_int_equal(stopped.n, 1);
  free(lines.s);
  close(fd);
}

/* lines that no append of ours made are passed over, the others are told */
static void test_damaged_lines(void **state)
{
  static const struct {
    const char *s;
    size_t len;
    int told;
  } rows[] = {
#define ROW(s, told) {s, sizeof(s) - 1, told}
    ROW("", 0), ROW("\n", 0), ROW("s\n", 0), ROW("s\t1\n", 0), ROW("s\t1\t1\n", 1), ROW("s\t1\t1", 0),
    ROW("a\t1\t1\n", 0), ROW("ss\t1\t1\n", 0), ROW("s\t-1\t1\n", 0), ROW("s\t1\t65536\n", 0), ROW("s\tx\t1\n", 0),
    ROW("s\t1\t1\tx\0y\n", 0), ROW("s\t1\t1\tx\x1b[31m\n", 0), ROW("s\t1\t1\tx\xc2\x9b\n", 0), ROW("s\t1\t1\tx\r\n", 0),
    ROW("s\t1\t1\tx\x7f\n", 0), ROW("\0\0\0\0\ns\t1\t1\n", 1), ROW("torn line a\t1\ns\t1\t1\tx\n", 1),
    ROW("s\t99999999999999999999\t1\n", 0), ROW("s\t1\t1\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\n", 1),
    ROW("s\t1\t1\t\t\t\t\n", 1),
#undef ROW
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int fd = file_with(rows[i].s, rows[i].len);
    struct told t = {0};
    assert_int_equal(history_each(fd, &e, tell, &t), 0);
    if (t.n != rows[i].told)
      fail_msg("row %zu: %d told", i, t.n);
    close(fd);
  }
}

/* appends one batch of n lines of about 100 bytes, with times from *time on */
static void append(int fd, size_t n, uint64_t *time)
{
  static const char *const field[] = {
    "mx1.example.net", "192.0.2.1", "EHLO", "closed", "a reply of some length, to fill the line up"};
  stralloc lines = {0};

  for (size_t i = 0; i < n; i++)
    assert_int_equal(history_line_make(&lines, 's', (*time)++, 1, field, 5), 0);
  assert_int_equal(history_append(fd, &e, &lines), 0);
  free(lines.s);
}

static void test_bound(void **state)
{
  static const size_t batches[] = {1, 10, 500, 1400, 3000, 20000};

  (void)state;
  for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
    int fd = file_with("", 0);
    uint64_t time = 1000000000;
    char start[sizeof BEFORE] = "";
    for (size_t written = 0; written < 12000; written += batches[b]) {
      struct told t = {0};
      append(fd, batches[b], &time);
      assert_true(size_of(fd) - e.history_at <= HISTORY_MAX);
      if (batches[b] < 10 && written % 1000)
        continue;
      assert_int_equal(history_each(fd, &e, tell, &t), 0);
      assert_int_equal(t.last, time - 1); /* the newest is there */
      assert_int_equal(t.last - t.first, t.n - 1); /* and no gap */
    }
    assert_true(size_of(fd) - e.history_at > HISTORY_MAX / 4);
    assert_int_equal(pread(fd, start, sizeof BEFORE - 1, 0), sizeof BEFORE - 1);
    assert_string_equal(start, BEFORE);
    close(fd);
  }
}

static void test_long_fields(void **state)
{
  static char big[100000];
  const char *const field[] = {big, big, big, big, big, big, big, big};
  stralloc lines = {0};
  struct told t = {0};
  int fd = file_with("", 0);

  (void)state;
  memset(big, 1, sizeof big - 1);
  assert_int_equal(history_line_make(&lines, 's', 1, 1, field, HISTORY_FIELDS), 0);
  assert_true(lines.len < 65536);
  assert_int_equal(history_append(fd, &e, &lines), 0);
  assert_int_equal(history_each(fd, &e, tell, &t), 0);
  assert_int_equal(t.n, 1);
  free(lines.s);
  close(fd);
}

/* one line without end, larger than all history may be */
static void test_no_line_end(void **state)
{
  stralloc junk = {0}, line = {0};
  struct told t = {0};
  int fd;

  (void)state;
  assert_true(stralloc_ready(&junk, HISTORY_MAX));
  memset(junk.s, 'j', HISTORY_MAX);
  fd = file_with(junk.s, HISTORY_MAX);
  assert_int_equal(history_each(fd, &e, tell, &t), 0);
  assert_int_equal(t.n, 0);
  assert_int_equal(history_line_make(&line, 's', 9, 1, NULL, 0), 0);
  assert_int_equal(history_append(fd, &e, &line), 0);
  assert_int_equal(history_each(fd, &e, tell, &t), 0);
  assert_int_equal(t.n, 1);
  free(junk.s);
  free(line.s);
  close(fd);
}

/* a full disk or a kill left half a line: it does not take the one after it along */
static void test_torn(void **state)
{
  stralloc line = {0};
  struct told t = {0};
  int fd = file_with("s\t7\t1\nx\t8\t1\thal", 15);

  (void)state;
  assert_int_equal(history_line_make(&line, 's', 9, 2, NULL, 0), 0);
  assert_int_equal(history_append(fd, &e, &line), 0);
  assert_int_equal(history_append(fd, &e, &line), 0);
  assert_int_equal(history_each(fd, &e, tell, &t), 0);
  assert_string_equal(t.text, "s 7 1 0  ;s 9 2 0  ;s 9 2 0  ;");
  free(line.s);
  close(fd);
}

static void test_errors(void **state)
{
  stralloc line = {0};
  int fd = memfd_create("message", MFD_CLOEXEC);

  (void)state;
  assert_int_equal(history_line_make(&line, 's', 9, 1, NULL, 0), 0);
  assert_int_equal(history_append(-1, &e, &line), -1);
  assert_int_equal(history_append(fd, &e, &line), -1); /* shorter than its message */
  assert_int_equal(errno, EBADMSG);
  assert_int_equal(history_each(-1, &e, tell, &(struct told){0}), -1);
  assert_int_equal(history_each(fd, &e, tell, &(struct told){0}), 0);
  free(line.s);
  close(fd);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_made_and_read), cmocka_unit_test(test_damaged_lines), cmocka_unit_test(test_bound),
    cmocka_unit_test(test_long_fields),   cmocka_unit_test(test_no_line_end),   cmocka_unit_test(test_errors),
    cmocka_unit_test(test_torn),
  };
  return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
