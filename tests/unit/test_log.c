/* test_log.c - a log line is one line, whatever stands in its values */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

static void test_escape(void **state)
{
  static const struct {
    const char *s;
    size_t len;
    const char *want;
  } rows[] = {{"plain text 1=2", 14, "plain text 1=2"}, {"", 0, ""}, {"a\r\nb", 4, "a\\x0d\\x0ab"},
              {"\"\\", 2, "\\x22\\x5c"}, {"\0", 1, "\\x00"}, {"\x1b[31m", 5, "\\x1b[31m"},
              {"\x7f\x80\xff", 3, "\\x7f\\x80\\xff"}, {"~ ", 2, "~ "}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    stralloc out = {0};
    assert_true(stralloc_copys(&out, "+"));
    assert_int_equal(log_escape(&out, rows[i].s, rows[i].len), 0);
    assert_true(stralloc_0(&out));
    assert_string_equal(out.s + 1, rows[i].want);
    free(out.s);
  }
}

/* what log_write() puts on standard error */
static const char *written(const char *event, const struct log_field *f, size_t n)
{
  static char buf[65536];
  int pipes[2], saved = dup(2);
  ssize_t len;

  assert_int_equal(pipe(pipes), 0);
  dup2(pipes[1], 2);
  log_write(event, f, n);
  dup2(saved, 2);
  close(saved);
  close(pipes[1]);
  len = read(pipes[0], buf, sizeof buf - 1);
  close(pipes[0]);
  assert_true(len >= 0);
  buf[len] = 0;
  return buf;
}

static void test_lines(void **state)
{
  static const struct {
    const char *value, *want;
  } rows[] = {{"x", "e a=x b=y\n"}, {"", "e a=\"\" b=y\n"}, {NULL, "e a=- b=y\n"}, {"two words", "e a=\"two words\" b=y\n"},
              {"k=v", "e a=\"k=v\" b=y\n"}, {"q\"q", "e a=\"q\\x22q\" b=y\n"},
              {"x\ndelivered id=1", "e a=\"x\\x0adelivered id=1\" b=y\n"}, {"<a@b.example>", "e a=<a@b.example> b=y\n"}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct log_field f[] = {{"a", rows[i].value}, {"b", "y"}};
    assert_string_equal(written("e", f, 2), rows[i].want);
  }
  assert_string_equal(written("bare", NULL, 0), "bare\n");
}

static void test_values_are_cut(void **state)
{
  char big[5000];
  const struct log_field f[] = {{"a", big}, {"b", big}, {"c", big}, {"d", big}, {"e", big}, {"f", big}};
  const char *line;

  (void)state;
  memset(big, 1, sizeof big - 1);
  big[sizeof big - 1] = 0;
  line = written("e", f, 6);
  assert_int_equal(strlen(line), 4096); /* a line is one write that a pipe takes whole */
  assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void test_numbers(void **state)
{
  const char *a = log_num(0), *b = log_num(25), *c = log_num(UINT64_MAX), *d = log_num(1);

  (void)state;
  assert_string_equal(a, "0");
  assert_string_equal(b, "25");
  assert_string_equal(c, "18446744073709551615");
  assert_string_equal(d, "1");
}

/* standard error that cannot be written stops nothing */
static void test_closed_stderr(void **state)
{
  int saved = fcntl(2, F_DUPFD_CLOEXEC, 10);

  (void)state;
  close(2);
  log_started("x", "y");
  dup2(saved, 2);
  close(saved);
}

/* a reader that stands still stops nothing; what it missed is told in an event of the log */
static void test_lost_lines(void **state)
{
  static char buf[1 << 20];
  const struct log_field f[] = {{"a", buf}};
  int pipes[2], saved = dup(2);
  ssize_t len;

  (void)state;
  written("y", NULL, 0); /* what test_closed_stderr() lost is told here */
  assert_string_equal(written("x", NULL, 0), "x\n");
  assert_int_equal(pipe(pipes), 0);
  dup2(pipes[1], 2);
  memset(buf, 'x', 1000);
  buf[1000] = 0;
  for (int i = 0; i < 2000; i++)
    log_write("e", f, 1);
  len = read(pipes[0], buf, sizeof buf);
  assert_true(len > 0 && len < 2000 * 1000);
  len = 2000 - len / 1005; /* "e a=", 1000 bytes, LF */
  log_write("bare", NULL, 0);
  log_lost(log_num((uint64_t)len));
  dup2(saved, 2);
  close(saved);
  close(pipes[1]);
  len = read(pipes[0], buf, sizeof buf - 1);
  close(pipes[0]);
  assert_true(len > 0);
  buf[len] = 0;
  assert_int_equal(strncmp(buf, "lost lines=", 11), 0);
  assert_string_equal(strchr(buf, '\n'), strstr(buf, "\nbare\n"));
  /* as log.def has it */
  assert_int_equal(strncmp(buf, strstr(buf, "\nbare\n") + 6, strcspn(buf, "\n") + 1), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_escape),  cmocka_unit_test(test_lines), cmocka_unit_test(test_values_are_cut),
    cmocka_unit_test(test_numbers), cmocka_unit_test(test_closed_stderr),
    cmocka_unit_test(test_lost_lines),
  };
  return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
