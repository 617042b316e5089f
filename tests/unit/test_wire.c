/* test_wire.c - messages between programs: one spelling, exact bounds, nothing else is legal */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

/* the rows of wire.def again, as data */
static const struct {
  enum wire_type type;
  const char *name;
  enum wire_link link;
  enum wire_side sender;
  size_t min, max, bytes;
} rows[] = {
#define WIRE_LINK(link, low, high)
#define WIRE(type, link, sender, min, max, bytes, fd) \
  {WIRE_##type, #type, LINK_##link, WIRE_##sender, min, max, bytes},
#include "common/wire.def"
#undef WIRE_LINK
#undef WIRE
};
#define ROWS (sizeof rows / sizeof *rows)

static void start(struct wire_out *o, size_t row, size_t n)
{
  wire_start(o, rows[row].type);
  for (size_t i = 0; i < n; i++)
    wire_num(o, i * 1000);
}

static int decode(const stralloc *p, size_t row, struct wire_msg *m)
{
  const char *why = NULL;
  int r = wire_decode(p->s, p->len, rows[row].link, rows[row].sender, m, &why);

  assert_non_null(why);
  return r;
}

static void test_rows_are_sound(void **state)
{
  (void)state;
  assert_int_equal(ROWS, WIRE_TYPES);
  for (size_t i = 0; i < ROWS; i++) {
    assert_true(rows[i].min <= rows[i].max && rows[i].max <= WIRE_FIELDS);
    assert_true(rows[i].bytes <= WIRE_MAX);
    assert_string_equal(wire_name(rows[i].type), rows[i].name);
  }
  assert_true(wire_needs_fd(WIRE_ATTEMPT) && !wire_needs_fd(WIRE_RESULT));
}

/* each type with its least and its most fields, decoded only on its own link and side */
static void test_round_trip(void **state)
{
  static stralloc p;
  struct wire_out o;
  struct wire_msg m;
  const char *why;

  (void)state;
  for (size_t i = 0; i < ROWS; i++)
    for (size_t n = rows[i].min; n <= rows[i].max; n += rows[i].max > rows[i].min ? rows[i].max - rows[i].min : 1) {
      start(&o, i, n);
      assert_int_equal(wire_encode(&o, &p), 0);
      assert_int_equal(decode(&p, i, &m), 0);
      assert_int_equal(m.type, rows[i].type);
      assert_int_equal(m.n, n);
      assert_int_equal(m.fd, -1);
      for (size_t k = 0; k < n; k++) {
        uint64_t v;
        assert_int_equal(wire_get_num(&m, k, UINT64_MAX, &v), 0);
        assert_int_equal(v, k * 1000);
      }
      for (int l = 0; l < LINK_COUNT; l++)
        for (int s = WIRE_LOW; s <= WIRE_HIGH; s++)
          if (l != (int)rows[i].link || s != (int)rows[i].sender)
            assert_int_equal(wire_decode(p.s, p.len, (enum wire_link)l, (enum wire_side)s, &m, &why), -1);
    }
}

static void test_field_counts(void **state)
{
  static stralloc p;
  struct wire_out o;

  (void)state;
  for (size_t i = 0; i < ROWS; i++) {
    start(&o, i, rows[i].max + 1);
    assert_int_equal(wire_encode(&o, &p), -1);
    assert_int_equal(errno, EMSGSIZE);
    if (rows[i].min == 0)
      continue;
    start(&o, i, rows[i].min - 1);
    assert_int_equal(wire_encode(&o, &p), -1);
    assert_int_equal(errno, EMSGSIZE);
  }
  start(&o, 0, 4 * WIRE_FIELDS); /* far too many are counted, not stored */
  assert_int_equal(wire_encode(&o, &p), -1);
}

/* a packet cut at any byte, or with a byte more, is no message */
static void test_truncation(void **state)
{
  static stralloc p;
  struct wire_out o;
  struct wire_msg m;

  (void)state;
  for (size_t i = 0; i < ROWS; i++) {
    stralloc cut;
    start(&o, i, rows[i].min);
    assert_int_equal(wire_encode(&o, &p), 0);
    for (size_t len = 0; len < p.len; len++) {
      cut = p;
      cut.s = malloc(len ? len : 1);
      memcpy(cut.s, p.s, len);
      cut.len = len;
      assert_int_equal(decode(&cut, i, &m), -1);
      free(cut.s);
    }
    assert_true(stralloc_append(&p, "x"));
    assert_int_equal(decode(&p, i, &m), -1);
  }
}

static void test_size_limit(void **state)
{
  static char big[WIRE_MAX];
  static stralloc p;
  struct wire_out o;
  struct wire_msg m;

  (void)state;
  memset(big, 'x', sizeof big);
  for (size_t len = 32900; len < 33000; len++) { /* DATA: 33000 bytes with all */
    wire_start(&o, WIRE_DATA);
    wire_num(&o, 1);
    wire_bytes(&o, big, len);
    if (wire_encode(&o, &p) != 0) {
      assert_int_equal(errno, EMSGSIZE);
      continue;
    }
    assert_true(p.len <= 33000);
    assert_int_equal(wire_decode(p.s, p.len, LINK_INJECT, WIRE_LOW, &m, &(const char *){0}), 0);
    assert_int_equal(m.f[1].len, len);
  }
  wire_start(&o, WIRE_DATA);
  wire_num(&o, 1);
  wire_bytes(&o, big, 32000); /* what senders rely on */
  assert_int_equal(wire_encode(&o, &p), 0);
}

/* what a program that was taken over may send */
static void test_hostile(void **state)
{
  char type[8];
  static const struct {
    const char *tail, *why;
    size_t len;
  } bad[] = {
#define BAD(s, why) {s, why, sizeof(s) - 1}
    BAD("", "too few fields"),
    BAD("1:1", "a field is not a netstring"),
    BAD("1:1;", "a field is not a netstring"),
    BAD("01:1,", "a field is not a netstring"),
    BAD("1:1,00:,", "a field is not a netstring"),
    BAD("1:1,-1:,", "a field is not a netstring"),
    BAD("1:1,+1:x,", "a field is not a netstring"),
    BAD("1:1, 1:x,", "a field is not a netstring"),
    BAD("1:1,999999:x,", "a field is not a netstring"),
    BAD("1:1,9999999:x,", "a field is not a netstring"),
    BAD("1:1,18446744073709551615:x,", "a field is not a netstring"),
    BAD("1:1,:x,", "a field is not a netstring"),
    BAD("1:1,1x,", "a field is not a netstring"),
    BAD("1:1,1:x,1:y,", "too many fields"),
    BAD("1:1,1:x,,", "too many fields"),
    BAD("1:1,2:x,", "a field is not a netstring"),
  };

  (void)state;
  snprintf(type, sizeof type, "%zu:%d,", (size_t)(WIRE_DATA < 10 ? 1 : 2), WIRE_DATA);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    size_t n = strlen(type), len = n + bad[i].len;
    char *buf = malloc(len);
    const char *why;
    struct wire_msg m;
    memcpy(buf, type, n);
    memcpy(buf + n, bad[i].tail, bad[i].len);
    assert_int_equal(wire_decode(buf, len, LINK_INJECT, WIRE_LOW, &m, &why), -1);
    assert_string_equal(why, bad[i].why);
    free(buf);
  }
}

static void test_bad_types(void **state)
{
  static const char *const bad[] = {"", ",", "0:,", "1:x,", "2:00,", "3:001,", "4:9999,", "1:-,", "2:-1,",
                                    "20:99999999999999999999,", "21:184467440737095516160,"};
  struct wire_msg m;
  const char *why;

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    for (int l = 0; l < LINK_COUNT; l++)
      assert_int_equal(wire_decode(bad[i], strlen(bad[i]), (enum wire_link)l, WIRE_HIGH, &m, &why), -1);
}

static struct wire_msg one_field(const char *s, size_t len)
{
  struct wire_msg m = {.type = WIRE_KNOWN, .n = 1, .fd = -1};

  m.f[0].s = s;
  m.f[0].len = len;
  return m;
}

static void test_numbers(void **state)
{
  static const struct {
    const char *s;
    uint64_t max;
    int ok;
  } cases[] = {{"0", 0, 1}, {"1", 0, 0}, {"255", 255, 1}, {"256", 255, 0}, {"18446744073709551615", UINT64_MAX, 1},
               {"18446744073709551616", UINT64_MAX, 0}, {"99999999999999999999", UINT64_MAX, 0}, {"", 9, 0},
               {"01", 9, 0}, {"00", 9, 0}, {"-1", 9, 0}, {"+1", 9, 0}, {"1 ", 9, 0}, {" 1", 9, 0}, {"1x", 99, 0}};
  uint64_t v;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct wire_msg m = one_field(cases[i].s, strlen(cases[i].s));
    if ((wire_get_num(&m, 0, cases[i].max, &v) == 0) != cases[i].ok)
      fail_msg("\"%s\"", cases[i].s);
    assert_int_equal(wire_get_num(&m, 1, UINT64_MAX, &v), -1); /* no such field */
  }
}

static void test_texts(void **state)
{
  static stralloc t;
  struct wire_msg m = one_field("abc", 3), nul = one_field("a\0c", 3), empty = one_field("", 0);

  (void)state;
  assert_int_equal(wire_get_text(&m, 0, 3, &t), 0);
  assert_int_equal(t.len, 3);
  assert_string_equal(t.s, "abc");
  assert_int_equal(wire_get_text(&m, 0, 2, &t), -1);
  assert_int_equal(wire_get_text(&m, 1, 9, &t), -1);
  assert_int_equal(wire_get_text(&nul, 0, 9, &t), -1);
  assert_int_equal(wire_get_text(&empty, 0, 0, &t), 0);
  assert_string_equal(t.s, "");
  assert_true(wire_is(&m, 0, "abc"));
  assert_false(wire_is(&m, 0, "ab") || wire_is(&m, 0, "abcd") || wire_is(&m, 1, "") || wire_is(&nul, 0, "a"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_rows_are_sound), cmocka_unit_test(test_round_trip),
    cmocka_unit_test(test_field_counts),   cmocka_unit_test(test_truncation),
    cmocka_unit_test(test_size_limit),     cmocka_unit_test(test_hostile),
    cmocka_unit_test(test_bad_types),      cmocka_unit_test(test_numbers),
    cmocka_unit_test(test_texts),
  };
  return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
