/* test_probe_message.c - a file becomes a message in wire form, and is compared with an offer */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/verbs.h"
#include "deliver/probe_message.h"

static char path[] = "/tmp/test_probe.XXXXXX";

static void open_with(const char *s, size_t len, struct probe_message *m)
{
  struct instance i = {0};
  int fd = open(path, O_WRONLY | O_TRUNC);

  assert_int_equal(write(fd, s, len), len);
  close(fd);
  memset(m, 0, sizeof *m);
  assert_int_equal(probe_message_open(&i, path, m), 0);
}

static void test_line_ends(void **state)
{
  static const struct {
    const char *file, *wire;
  } rows[] = {{"", ""}, {"a", "a"}, {"a\nb\n", "a\r\nb\r\n"}, {"a\r\nb\n", "a\r\nb\r\n"}, {"\n\n", "\r\n\r\n"}, {"\r\n", "\r\n"}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct probe_message m;
    char got[64] = "";
    open_with(rows[i].file, strlen(rows[i].file), &m);
    assert_int_equal(m.e.body_len, strlen(rows[i].wire));
    assert_int_equal(pread(m.fd, got, sizeof got - 1, 0), strlen(rows[i].wire));
    assert_string_equal(got, rows[i].wire);
    close(m.fd);
  }
}

/* a CR LF may lie across two reads */
static void test_long(void **state)
{
  static char s[200001];
  struct probe_message m;

  (void)state;
  memset(s, 'x', sizeof s - 1);
  s[65535] = '\r';
  s[65536] = '\n';
  s[131072] = '\n';
  open_with(s, sizeof s - 1, &m);
  assert_int_equal(m.e.body_len, sizeof s);
  close(m.fd);
}

static void test_fit(void **state)
{
  static const struct {
    const char *file;
    uint32_t verbs;
    uint64_t limit;
    unsigned int flags;
    enum probe_fit size, eightbit, utf8;
  } rows[] = {
    {"S: x\n\nhello\n", 0, 0, 0, FIT_YES, FIT_NOT_NEEDED, FIT_NOT_NEEDED},
    {"S: x\n\nhello\n", 0, 5, 0, FIT_NO, FIT_NOT_NEEDED, FIT_NOT_NEEDED},
    {"S: x\n\nhello\n", 0, 15, 0, FIT_YES, FIT_NOT_NEEDED, FIT_NOT_NEEDED},
    {"S: x\n\nh\xc3\xa9llo\n", 0, 0, 0, FIT_YES, FIT_NO, FIT_NOT_NEEDED},
    {"S: x\n\nh\xc3\xa9llo\n", VERB_8BITMIME, 0, 0, FIT_YES, FIT_YES, FIT_NOT_NEEDED},
    {"S: x\n\nhello\n", VERB_8BITMIME, 0, ENVELOPE_SMTPUTF8, FIT_YES, FIT_NOT_NEEDED, FIT_NOT_NEEDED},
    {"S: \xc3\xa9\n\nhello\n", VERB_8BITMIME, 0, ENVELOPE_SMTPUTF8, FIT_YES, FIT_YES, FIT_NO},
    {"S: \xc3\xa9\n\nhello\n", VERB_SMTPUTF8 | VERB_8BITMIME, 0, ENVELOPE_SMTPUTF8, FIT_YES, FIT_YES,
     FIT_YES},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    static struct session s;
    struct attempt a = {0};
    struct probe_message m;
    struct probe_fits f;
    open_with(rows[i].file, strlen(rows[i].file), &m);
    m.e.flags = rows[i].flags;
    a.env = m.e;
    a.eight = m.eight;
    s.attempt = &a;
    s.verbs = rows[i].verbs;
    s.ehlo.size = rows[i].limit;
    probe_message_fit(&m, &s, &f);
    if (f.size != rows[i].size || f.eightbit != rows[i].eightbit || f.utf8 != rows[i].utf8 || f.bytes < 15)
      fail_msg("row %zu: %d %d %d, %llu bytes", i, f.size, f.eightbit, f.utf8, (unsigned long long)f.bytes);
    close(m.fd);
  }
}

/* what is said of the content is what an attempt would do with it */
static void test_content(void **state)
{
  static char long_line[1100];
  struct {
    const char *file;
    enum eightbit_policy policy;
    size_t others;
    enum probe_fit eightbit;
    const char *content;
  } rows[] = {
    {"S: x\n\nhello\n", 0, 0, FIT_NOT_NEEDED, ""},
    {"S: x\n\nh\xc3\xa9llo\n", 0, 0, FIT_NO, "no 8BITMIME here: converted"},
    {"DKIM-Signature: x\n\nh\xc3\xa9llo\n", EIGHTBIT_OTHER_MX, 1, FIT_NO, "other hosts are tried first"},
    {"DKIM-Signature: x\n\nh\xc3\xa9llo\n", EIGHTBIT_OTHER_MX, 0, FIT_NO, "converted"},
    {"DKIM-Signature: x\n\nh\xc3\xa9llo\n", EIGHTBIT_BOUNCE, 1, FIT_NO, "neither converted nor sent"},
    {long_line, 0, 0, FIT_NOT_NEEDED, "lines over 998 bytes: encoded"},
  };

  (void)state;
  snprintf(long_line, sizeof long_line, "S: x\n\n%01000d\n", 7);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    static struct session s;
    struct attempt a = {.others = rows[i].others};
    struct probe_message m;
    struct probe_fits f;
    open_with(rows[i].file, strlen(rows[i].file), &m);
    a.eight = m.eight;
    a.eight.policy = rows[i].policy;
    s.attempt = &a;
    probe_message_fit(&m, &s, &f);
    if (f.eightbit != rows[i].eightbit || !strstr(f.content, rows[i].content) ||
        !*f.content != !*rows[i].content)
      fail_msg("row %zu: %d, %s", i, f.eightbit, f.content);
    close(m.fd);
  }
}

static int set_up(void **state)
{
  int fd = mkstemp(path);

  (void)state;
  close(fd);
  return fd < 0;
}

static int tear_down(void **state)
{
  (void)state;
  return unlink(path);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_line_ends), cmocka_unit_test(test_long),
                                     cmocka_unit_test(test_fit), cmocka_unit_test(test_content)};

  return cmocka_run_group_tests_name("probe_message", tests, set_up, tear_down);
}
