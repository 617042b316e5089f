/* test_settings.c - every setting's default and bounds, values that are refused, and loading */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/settings.h"

static stralloc why;

static int check(const char *name, const char *value)
{
  const struct setting *s = settings_find(name, strlen(name));

  if (!s)
    fail_msg("no setting %s", name);
  return settings_check(s, value, strlen(value), &why);
}

static void test_rows_are_sound(void **state)
{
  (void)state;
  assert_true(settings_count() > 30);
  for (size_t i = 0; i < settings_count(); i++) {
    const struct setting *s = settings_row(i);
    assert_ptr_equal(settings_find(s->name, strlen(s->name)), s); /* and so no name comes twice */
    assert_true(*s->help && s->min <= s->max);
    if (s->value && settings_check(s, s->value, strlen(s->value), &why) != 0)
      fail_msg("the default of %s does not pass its check", s->name);
  }
  assert_null(settings_find("", 0));
  assert_null(settings_find("hostnam", 7));
  assert_null(settings_find("hostname-", 9));
}

/* numbers, sizes and durations: the bounds themselves pass, one more or less does not */
static void test_bounds(void **state)
{
  (void)state;
  for (size_t i = 0; i < settings_count(); i++) {
    const struct setting *s = settings_row(i);
    const char *unit = strcmp(s->type, "DURATION") == 0 ? "ms" : "";
    char v[40];
    if (strcmp(s->type, "NUMBER") != 0 && strcmp(s->type, "SIZE") != 0 && !*unit)
      continue;
    for (int d = -1; d <= 1; d++) {
      snprintf(v, sizeof v, "%lld%s", (long long)s->min + d, unit);
      if ((settings_check(s, v, strlen(v), &why) == 0) != (d >= 0))
        fail_msg("%s %s", s->name, v);
      snprintf(v, sizeof v, "%lld%s", (long long)s->max + d, unit);
      if ((settings_check(s, v, strlen(v), &why) == 0) != (d <= 0))
        fail_msg("%s %s", s->name, v);
    }
  }
}

static void test_values(void **state)
{
  static const struct {
    const char *name, *value;
    int ok;
  } rows[] = {
    {"hostname", "mail.example.org", 1}, {"hostname", "", 0}, {"hostname", "mail", 0}, {"hostname", "localhost", 0},
    {"hostname", "mail.example.org.", 0}, {"hostname", "mail example.org", 0}, {"hostname", "192.0.2.1", 0},
    {"hostname", "mail.example.org\r\nX: y", 0}, {"domain", "", 1}, {"domain", "example.org", 1}, {"domain", "example", 0},
    {"postmaster", "", 1}, {"postmaster", "root@example.org", 1}, {"postmaster", "alice", 1},
    {"postmaster", "<a@b.example>", 0}, {"postmaster", "a b", 0}, {"postmaster", "a,b", 0}, {"postmaster", "a\xc3\xa4", 0},
    {"dnssec", "yes", 1}, {"dnssec", "no", 1}, {"dnssec", "", 0}, {"dnssec", "YES", 0}, {"dnssec", "1", 0},
    {"dnssec", "yess", 0}, {"smtp-port", "25", 1}, {"smtp-port", "0", 0}, {"smtp-port", "", 0}, {"smtp-port", "25x", 0},
    {"smtp-port", "18446744073709551641", 0}, {"message-size-limit", "50m", 1}, {"message-size-limit", "1kk", 0},
    {"message-size-limit", "18014398509481984k", 0}, {"timeout-helo", "5m", 1}, {"timeout-helo", "30", 1},
    {"timeout-helo", "10ms", 1}, {"timeout-helo", "9ms", 0}, {"timeout-helo", "5 m", 0}, {"timeout-helo", "forever", 0},
    {"dns-servers", "", 1}, {"dns-servers", "127.0.0.1", 1}, {"dns-servers", "127.0.0.1@5353 ::1@53\t192.0.2.1", 1},
    {"dns-servers", "  127.0.0.1  ", 1}, {"dns-servers", "127.0.0.1@0", 0}, {"dns-servers", "127.0.0.1@65536", 0},
    {"dns-servers", "127.0.0.1@", 0}, {"dns-servers", "@53", 0}, {"dns-servers", "127.0.0.1:53", 0},
    {"dns-servers", "[::1]@54 [2001:db8::1] [192.0.2.1]@53", 1},
    {"dns-servers", "[::1@54", 0}, {"dns-servers", "::1]@54", 0}, {"dns-servers", "[]@54", 0}, {"dns-servers", "[::1]54", 0},
    {"dns-servers", "[::1]@0", 0}, {"dns-servers", "[[::1]]", 0}, {"dns-servers", "ns.example.org", 0}, {"mailbox", "Maildir/", 1}, {"mailbox", "mail/new/", 1},
    {"mailbox", "Maildir", 0}, {"mailbox", "/var/mail/", 0}, {"mailbox", "../x/", 0}, {"mailbox", "/", 0}, {"mailbox", "", 0},
    {"helo-policy", "junk", 1}, {"helo-policy", "normal", 1}, {"helo-policy", "strict", 1}, {"helo-policy", "", 0},
    {"helo-policy", "Strict", 0}, {"tls-history", "defer", 1}, {"tls-history", "warn", 1},
    {"tls-history", "", 0}, {"tls-history", "yes", 0},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if ((check(rows[i].name, rows[i].value) == 0) != rows[i].ok)
      fail_msg("%s \"%s\"", rows[i].name, rows[i].value);
  assert_int_equal(settings_check(settings_find("hostname", 8), "a.example\0b", 11, &why), -1);
}

static void test_reasons(void **state)
{
  static const struct {
    const char *name, *value, *want;
  } rows[] = {
    {"smtp-port", "x", "smtp-port: expected a number, 1 to 65535"},
    {"timeout-connect", "1ms", "timeout-connect: expected a duration such as 500ms, 30s, 5m or 4h, 10ms to 1h"},
    {"dnssec", "maybe", "dnssec: expected yes or no"},
    {"dns-servers", "x", "dns-servers: expected addresses such as 192.0.2.53, 192.0.2.53@54 or [2001:db8::53]@54"},
    {"hostname", "", "hostname: expected a full domain name such as mail.example.org"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_int_equal(check(rows[i].name, rows[i].value), -1);
    assert_true(stralloc_0(&why));
    assert_string_equal(why.s, rows[i].want);
  }
}

static struct table *tables(const char *const *pairs)
{
  int fd = memfd_create("tables", MFD_CLOEXEC);
  struct table_maker *m = table_maker_start(fd);
  struct table *t;

  for (; *pairs; pairs += 2)
    assert_int_equal(table_maker_add(m, "settings", pairs[0], strlen(pairs[0]), pairs[1], strlen(pairs[1])), 0);
  assert_int_equal(table_maker_finish(m), 0);
  t = table_open(fd);
  close(fd);
  assert_non_null(t);
  return t;
}

static void test_load(void **state)
{
  static const char *const good[] = {"hostname", "mx.example.org", "smtp-port", "2525", "timeout-helo", "1500ms",
                                     "message-size-limit", "2k", "dnssec", "no", NULL};
  static const char *const bad[] = {"hostname", "other.example.org", "smtp-port", "0", NULL};
  static const char *const nameless[] = {"smtp-port", "26", NULL};
  struct table *t = tables(good);
  const char *row = NULL;

  (void)state;
  assert_int_equal(settings_load(t, &row), 0);
  table_close(t); /* texts are copies */
  assert_string_equal(settings.hostname, "mx.example.org");
  assert_int_equal(settings.smtp_port, 2525);
  assert_int_equal(settings.timeout_helo, 1500);
  assert_int_equal(settings.message_size_limit, 2048);
  assert_int_equal(settings.dnssec, 0);
  assert_string_equal(settings.mailbox, "Maildir/"); /* a default */
  assert_int_equal(settings.timeout_connect, 60000);

  t = tables(bad);
  assert_int_equal(settings_load(t, &row), -1);
  assert_string_equal(row, "smtp-port");
  table_close(t);
  t = tables(nameless);
  assert_int_equal(settings_load(t, &row), -1);
  assert_string_equal(row, "hostname");
  table_close(t);
  assert_string_equal(settings.hostname, "mx.example.org"); /* unchanged */
  assert_int_equal(settings.smtp_port, 2525);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_rows_are_sound), cmocka_unit_test(test_bounds), cmocka_unit_test(test_values),
    cmocka_unit_test(test_reasons),        cmocka_unit_test(test_load),
  };
  return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
