/* test_units.c - numbers with units: what people write, its limits, and what we write */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/units.h"

#define BAD UINT64_MAX

struct row {
  const char *s;
  uint64_t want;
};

static void check(const struct row *rows, size_t n, int (*f)(const char *, size_t, uint64_t *))
{
  for (size_t i = 0; i < n; i++) {
    uint64_t v = 0;
    int r = f(rows[i].s, strlen(rows[i].s), &v);
    if ((r == 0) != (rows[i].want != BAD) || (r == 0 && v != rows[i].want))
      fail_msg("\"%s\": %d, %llu", rows[i].s, r, (unsigned long long)v);
  }
}
#define CHECK(rows, f) check(rows, sizeof rows / sizeof *rows, f)

static void test_number(void **state)
{
  static const struct row rows[] = {
    {"0", 0}, {"00025", 25}, {"18446744073709551614", UINT64_MAX - 1}, {"18446744073709551616", BAD},
    {"99999999999999999999999", BAD}, {"", BAD}, {"-1", BAD}, {"+1", BAD}, {" 1", BAD}, {"1 ", BAD},
    {"0x10", BAD}, {"1.5", BAD}, {"1\xb2", BAD}};

  (void)state;
  CHECK(rows, units_number);
}

static void test_duration(void **state)
{
  static const struct row rows[] = {
    {"0", 0}, {"45", 45}, {"5m", 300}, {"1h30m", 5400}, {"1h30", 3630}, {"2d", 172800}, {"1w", 604800},
    {"5M", 300}, {"1000ms", 1}, {"500ms", BAD}, {"1s500ms500ms", 2}, {"4294967295", 4294967295U},
    {"4294967296", BAD}, {"7102w", BAD}, {"18446744073709551615w", BAD}, {"", BAD}, {"m", BAD},
    {"5 m", BAD}, {" 5", BAD}, {"5m ", BAD}, {"-5m", BAD}, {"5y", BAD}, {"5mm", BAD}, {"5msm", BAD},
    {"1.5h", BAD}};

  (void)state;
  CHECK(rows, units_duration);
}

static void test_duration_ms(void **state)
{
  static const struct row rows[] = {{"500ms", 500}, {"1", 1000}, {"1s1ms", 1001},
                                    {"4294967295s", 4294967295000U}, {"4294967295s1ms", BAD}};

  (void)state;
  CHECK(rows, units_duration_ms);
}

static void test_size(void **state)
{
  static const struct row rows[] = {
    {"10485760", 10485760}, {"10k", 10240}, {"10K", 10240}, {"50m", 52428800}, {"2g", 2147483648U},
    {"9223372036854775807", INT64_MAX}, {"9223372036854775808", BAD}, {"8589934591g", 9223372035781033984U},
    {"8589934592g", BAD}, {"1m1k", BAD}, {"1kb", BAD}, {"k", BAD}, {"", BAD}, {"1 k", BAD}, {"1.5m", BAD},
    {"-1", BAD}};

  (void)state;
  CHECK(rows, units_size);
}

static void test_digits(void **state)
{
  static const struct {
    uint64_t v;
    const char *want;
  } rows[] = {{0, "0"}, {7, "7"}, {10, "10"}, {4294967296U, "4294967296"},
              {UINT64_MAX, "18446744073709551615"}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char out[UNITS_DIGITS];
    assert_int_equal(units_digits(out, rows[i].v), strlen(rows[i].want));
    assert_string_equal(out, rows[i].want);
  }
}

static const char *text(int (*f)(stralloc *, uint64_t), uint64_t v)
{
  static stralloc out;

  assert_true(stralloc_copys(&out, "+"));
  assert_int_equal(f(&out, v), 0);
  assert_true(stralloc_0(&out));
  assert_int_equal(out.s[0], '+'); /* appended, not replaced */
  return out.s + 1;
}

static void test_format_duration(void **state)
{
  static const struct {
    uint64_t s;
    const char *want;
  } rows[] = {{0, "0s"}, {59, "59s"}, {60, "1m"}, {9000, "2h30m"}, {86400, "1d"}, {86401, "1d1s"},
              {90061, "1d1h1m1s"}, {4294967295U, "49710d6h28m15s"}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_string_equal(text(units_format_duration, rows[i].s), rows[i].want);
}

static void test_format_number(void **state)
{
  (void)state;
  assert_string_equal(text(units_format_number, 0), "0");
  assert_string_equal(text(units_format_number, 2525), "2525");
  assert_string_equal(text(units_format_number, UINT64_MAX), "18446744073709551615");
}

/* what is written is read back */
static void test_duration_round_trip(void **state)
{
  (void)state;
  for (uint64_t s = 1; s < 4000000000U; s = s * 3 + 7) {
    const char *t = text(units_format_duration, s);
    uint64_t back = 0;
    assert_int_equal(units_duration(t, strlen(t), &back), 0);
    assert_true(back == s);
  }
}

static void test_format_time(void **state)
{
  (void)state;
  assert_string_equal(text(units_format_time, 0), "1970-01-01T00:00:00Z");
  assert_string_equal(text(units_format_time, 1769850000), "2026-01-31T09:00:00Z");
  assert_string_equal(text(units_format_time, 951782400), "2000-02-29T00:00:00Z");
  assert_string_equal(text(units_format_date, 1769850000), "Sat, 31 Jan 2026 09:00:00 +0000");
  assert_string_equal(text(units_format_time, UINT64_MAX / 2), "-");
  assert_true(strlen(text(units_format_date, UINT32_MAX)) > 20);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_number),          cmocka_unit_test(test_duration),
    cmocka_unit_test(test_duration_ms),     cmocka_unit_test(test_size),
    cmocka_unit_test(test_digits),          cmocka_unit_test(test_format_number),
             cmocka_unit_test(test_format_duration),
    cmocka_unit_test(test_duration_round_trip), cmocka_unit_test(test_format_time),
  };
  return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
