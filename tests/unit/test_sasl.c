/* test_sasl.c - the words of logging in, base64, PLAIN, and what Dovecot says */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/base64.h"
#include "common/sasl.h"
#include "smtpd/dovecot_reply.h"

static void base64(void **state)
{
  static const struct {
    const char *text, *want; /* NULL: it is none */
  } cases[] = {
    {"", ""},         {"Zg==", "f"},       {"Zm8=", "fo"},      {"Zm9v", "foo"},
    {"Zm9vYmFy", "foobar"}, {"Zg", NULL},  {"Zg=", NULL},       {"Zg===", NULL},
    {"=", NULL},      {"====", NULL},      {"Z===", NULL},      {"Zg==Zg==", NULL},
    {" Zg==", NULL},  {"Zg==\n", NULL},    {"Zm9v\r\n", NULL},  {"Zm-v", NULL},
    {"Zm_v", NULL},   {"Zm9\x80", NULL},   {"*", NULL},         {"Zm=v", NULL},
  };
  stralloc out = {0}, back = {0};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int r = base64_decode(cases[i].text, strlen(cases[i].text), &out);
    if (!cases[i].want) {
      assert_int_equal(r, -1);
      assert_int_equal(errno, EINVAL);
      continue;
    }
    assert_int_equal(r, 0);
    assert_int_equal(out.len, strlen(cases[i].want));
    assert_memory_equal(out.s, cases[i].want, out.len);
    back.len = 0;
    assert_int_equal(base64_encode(&back, out.s, out.len), 0);
    assert_int_equal(back.len, strlen(cases[i].text));
    assert_memory_equal(back.s, cases[i].text, back.len);
  }
  assert_int_equal(base64_decode("AGEA", 4, &out), 0);
  assert_int_equal(out.len, 3);
  assert_memory_equal(out.s, "\0a\0", 3);
  stralloc_free(&out);
  stralloc_free(&back);
}

#define TEXT(s) s, sizeof s - 1

static void plain(void **state)
{
  static const struct {
    const char *s;
    size_t len;
    const char *login, *password; /* NULL: it is none */
  } cases[] = {
    {TEXT("\0alice\0secret"), "alice", "secret"},
    {TEXT("alice\0alice\0s"), "alice", "s"},
    {TEXT("\0\xc3\xa4\0\xc3\xb6"), "\xc3\xa4", "\xc3\xb6"},
    {TEXT(""), NULL, NULL},
    {TEXT("alice"), NULL, NULL},
    {TEXT("\0alice"), NULL, NULL},
    {TEXT("\0\0secret"), NULL, NULL},
    {TEXT("\0alice\0"), NULL, NULL},
    {TEXT("\0alice\0se\0cret"), NULL, NULL},
  };
  struct sasl_plain p;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int r = sasl_plain_read(cases[i].s, cases[i].len, &p);
    assert_int_equal(r, cases[i].login ? 0 : -1);
    if (r != 0)
      continue;
    assert_int_equal(p.loginlen, strlen(cases[i].login));
    assert_memory_equal(p.login, cases[i].login, p.loginlen);
    assert_int_equal(p.passwordlen, strlen(cases[i].password));
    assert_memory_equal(p.password, cases[i].password, p.passwordlen);
  }
}

static void logins(void **state)
{
  char big[SASL_LOGIN_MAX + 1];
  stralloc out = {0};

  (void)state;
  memset(big, 'x', sizeof big);
  assert_int_equal(sasl_login(TEXT("Alice@Example.ORG"), &out), 0);
  assert_string_equal(out.s, "alice@example.org");
  assert_int_equal(sasl_login(big, SASL_LOGIN_MAX, &out), 0);
  assert_int_equal(sasl_login(big, sizeof big, &out), -1);
  assert_int_equal(sasl_login("", 0, &out), -1);
  assert_int_equal(sasl_login(TEXT("a\0b"), &out), -1);
  assert_int_equal(sasl_login(TEXT("a\nb"), &out), -1);
  stralloc_free(&out);
}

static void words(void **state)
{
  enum backend_name list[BACKEND_COUNT];
  unsigned int set;
  stralloc out = {0};
  enum mechanism m;
  enum outcome o;
  size_t n;

  (void)state;
  assert_int_equal(mechanism_find(TEXT("plain"), &m), 0);
  assert_int_equal(m, MECHANISM_PLAIN);
  assert_int_equal(mechanism_find(TEXT("SCRAM-SHA-25"), &m), -1);
  assert_int_equal(mechanisms_read(TEXT(" login  scram-sha-256-plus"), &set), 0);
  assert_int_equal(mechanisms_format(&out, set), 0);
  assert_int_equal(out.len, 25);
  assert_memory_equal(out.s, " SCRAM-SHA-256-PLUS LOGIN", 25);
  assert_int_equal(mechanisms_read(TEXT("plain,login"), &set), -1);
  assert_int_equal(backends_read(TEXT("dovecot users"), list, &n), 0);
  assert_int_equal(n, 2);
  assert_int_equal(list[0], BACKEND_DOVECOT);
  assert_int_equal(backends_read(TEXT("users users"), list, &n), -1);
  assert_int_equal(backends_read(TEXT("ldap"), list, &n), -1);
  for (unsigned int i = 0; i < OUTCOME_COUNT; i++) {
    const char *word = outcome_word((enum outcome)i);
    assert_int_equal(outcome_read(word, strlen(word), &o), 0);
    assert_int_equal(o, i);
  }
  assert_int_equal(outcome_read("", 0, &o), -1);
  stralloc_free(&out);
}

static void dovecot_lines(void **state)
{
  static const struct {
    const char *line;
    int r;
    enum dovecot_word word;
    uint32_t id;
    const char *value;
    int is_temporary;
  } cases[] = {
    {"VERSION\t1\t2", 0, DOVECOT_VERSION, 0, "1", 0},
    {"MECH\tSCRAM-SHA-256\tmutual-auth", 0, DOVECOT_MECH, 0, "SCRAM-SHA-256", 0},
    {"DONE", 0, DOVECOT_DONE, 0, "", 0},
    {"COOKIE\tabc", 0, DOVECOT_OTHER, 0, "", 0},
    {"OK\t7\tuser=dora\tresp=x", 0, DOVECOT_OK, 7, "dora", 0},
    {"OK\t4294967295", 0, DOVECOT_OK, 4294967295U, "", 0},
    {"CONT\t1\tcj0=", 0, DOVECOT_CONT, 1, "cj0=", 0},
    {"CONT\t1\t", 0, DOVECOT_CONT, 1, "", 0},
    {"CONT\t1", 0, DOVECOT_CONT, 1, "", 0},
    {"FAIL\t9\tuser=x\ttemp", 0, DOVECOT_FAIL, 9, "x", 1},
    {"FAIL\t9\ttemporary", 0, DOVECOT_FAIL, 9, "", 0},
    {"OK", -1, DOVECOT_OK, 0, "", 0},
    {"OK\tx\tuser=a", -1, DOVECOT_OK, 0, "", 0},
    {"OK\t4294967296", -1, DOVECOT_OK, 0, "", 0},
    {"FAIL\t-1", -1, DOVECOT_FAIL, 0, "", 0},
    {"MECH", -1, DOVECOT_MECH, 0, "", 0},
    {"", 0, DOVECOT_OTHER, 0, "", 0},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct dovecot_reply r;
    assert_int_equal(dovecot_reply_read(cases[i].line, strlen(cases[i].line), &r), cases[i].r);
    assert_int_equal(r.word, cases[i].word);
    if (cases[i].r != 0)
      continue;
    assert_int_equal(r.id, cases[i].id);
    assert_int_equal(r.valuelen, strlen(cases[i].value));
    assert_memory_equal(r.value, cases[i].value, r.valuelen);
    assert_int_equal(r.is_temporary, cases[i].is_temporary);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(base64),
    cmocka_unit_test(plain),
    cmocka_unit_test(logins),
    cmocka_unit_test(words),
    cmocka_unit_test(dovecot_lines),
  };

  return cmocka_run_group_tests_name("sasl", tests, NULL, NULL);
}
