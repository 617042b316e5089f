/* test_journal.c - segments and their records: what is whole is read, what is torn, old or made
 * up is not */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/flights.h"
#include "queue/journal.h"

#define SIZE (64 * 1024)

static const struct journal_segment this = {7, 0x0123456789abcdef, SIZE};
static const struct journal_segment earlier = {6, 0xfedcba9876543210, SIZE};

/* a segment being made */
static char segment[SIZE];
static size_t end;

static void start(const struct journal_segment *s)
{
  memset(segment, 0, sizeof segment);
  journal_head_make(segment, s);
  end = JOURNAL_HEAD;
}

static const char *id_of(unsigned int number)
{
  static char id[4][STORE_ID_LEN + 1];
  static unsigned int turn;
  char *s = id[turn++ % 4];

  snprintf(s, STORE_ID_LEN + 1, "1ngbb%08u00", number);
  return s;
}

/* appends a record whose payload is len times a letter; where it begins */
static size_t put(const struct journal_segment *s, enum journal_type type, unsigned int number,
                  size_t len, size_t flushed)
{
  struct journal_record r = {.type = type, .len = (uint32_t)len, .flushed = (uint32_t)flushed};
  size_t at = end, half = len / 2;
  char *payload = segment + at + JOURNAL_RECORD;
  struct iovec v[2] = {{payload, half}, {payload + half, len - half}};

  assert_true(at + journal_record_size(len) <= SIZE);
  memcpy(r.id, id_of(number), sizeof r.id);
  memset(payload, 'a' + (int)(number % 26), len);
  journal_record_make(segment + at, s, &r, v, 2);
  end += journal_record_size(len);
  return at;
}

/* what the reader was told */
static char told[4000];
static size_t lost_from, lost_to, losses;

static void on_record(void *arg, const struct journal_record *r, size_t at)
{
  char line[80];

  (void)arg;
  snprintf(line, sizeof line, "%c%u:%u@%zu ", (char)r->type, (unsigned int)atoi(r->id + 5) / 100,
           (unsigned int)r->len, at);
  assert_true(strlen(told) + strlen(line) < sizeof told);
  strcat(told, line);
}

static void on_lost(void *arg, size_t from, size_t to)
{
  (void)arg;
  losses++;
  lost_from = from;
  lost_to = to;
}

static size_t parse(size_t len)
{
  const struct journal_reader r = {on_record, on_lost, NULL};
  char *copy = malloc(len ? len : 1); /* so that a sanitizer sees a read beyond it */
  size_t where;

  memcpy(copy, segment, len);
  told[0] = 0;
  losses = 0;
  where = journal_parse(copy, len, &this, &r);
  free(copy);
  return where;
}

static void test_head(void **state)
{
  struct journal_segment got;

  (void)state;
  start(&this);
  assert_int_equal(journal_head_read(segment, &got), 0);
  assert_memory_equal(&got, &this, sizeof got);
  for (size_t i = 0; i < 48; i++) {
    segment[i] ^= 1;
    assert_int_equal(journal_head_read(segment, &got), -1);
    segment[i] ^= 1;
  }
  memset(segment, 0, JOURNAL_HEAD);
  assert_int_equal(journal_head_read(segment, &got), -1);
}

static void test_records(void **state)
{
  (void)state;
  start(&this);
  put(&this, JOURNAL_MESSAGE, 1, 0, 0);
  put(&this, JOURNAL_MESSAGE, 2, 1, 0);
  put(&this, JOURNAL_DONE, 1, 0, 0);
  put(&this, JOURNAL_MESSAGE, 3, 5000, 4144);
  put(&this, JOURNAL_FILED, 3, 0, 4144);
  assert_int_equal(parse(SIZE), end);
  assert_string_equal(told, "M1:0@4096 M2:1@4144 D1:0@4200 M3:5000@4248 F3:0@9296 ");
  assert_int_equal(losses, 0);
}

/* cut at every byte: what is whole before the cut is read, and nothing else */
static void test_torn_tail(void **state)
{
  size_t first, second;

  (void)state;
  start(&this);
  first = put(&this, JOURNAL_MESSAGE, 1, 100, 0);
  second = put(&this, JOURNAL_MESSAGE, 2, 77, 0);
  for (size_t cut = first; cut <= second + JOURNAL_RECORD + 77; cut++) {
    parse(cut);
    assert_string_equal(told, cut < first + JOURNAL_RECORD + 100          ? ""
                              : cut < second + JOURNAL_RECORD + 77 ? "M1:100@4096 "
                                                                   : "M1:100@4096 M2:77@4248 ");
    assert_int_equal(losses, 0);
  }
}

/* every byte of a record wrong in turn: it is not taken, its neighbours are */
static void test_every_byte(void **state)
{
  size_t at;

  (void)state;
  start(&this);
  put(&this, JOURNAL_DONE, 1, 0, 0);
  at = put(&this, JOURNAL_MESSAGE, 2, 200, 0);
  put(&this, JOURNAL_DONE, 3, 0, 0);
  for (size_t i = 0; i < JOURNAL_RECORD + 200; i++) {
    segment[at + i] ^= 0x20;
    parse(SIZE);
    assert_string_equal(told, "D1:0@4096 D3:0@4392 ");
    assert_int_equal(losses, 0); /* nothing says that it was durable */
    segment[at + i] ^= 0x20;
  }
}

/* a later record that was written when the damaged stretch was durable tells damage from a
 * torn tail */
static void test_lost(void **state)
{
  size_t at;

  (void)state;
  start(&this);
  put(&this, JOURNAL_DONE, 1, 0, 0);
  at = put(&this, JOURNAL_MESSAGE, 2, 200, 0);
  put(&this, JOURNAL_DONE, 3, 0, at);
  memset(segment + at + 60, 0, 8);
  parse(SIZE);
  assert_int_equal(losses, 0); /* durable up to it, not with it */
  put(&this, JOURNAL_DONE, 4, 0, at + 1);
  parse(SIZE);
  assert_string_equal(told, "D1:0@4096 D3:0@4392 D4:0@4440 ");
  assert_int_equal(losses, 1);
  assert_int_equal(lost_from, at);
  assert_int_equal(lost_to, at + 248);
}

/* what the file's earlier use left behind the tail */
static void test_old_records(void **state)
{
  static char old[SIZE];

  (void)state;
  start(&earlier);
  for (unsigned int i = 0; i < 100; i++)
    put(&earlier, i % 3 ? JOURNAL_MESSAGE : JOURNAL_DONE, i, i % 3 ? 100 : 0, 0);
  memcpy(old, segment, sizeof old);
  start(&this);
  memcpy(segment + JOURNAL_HEAD, old + JOURNAL_HEAD, SIZE - JOURNAL_HEAD);
  put(&this, JOURNAL_MESSAGE, 500, 52, 0);
  assert_int_equal(parse(SIZE), end);
  assert_string_equal(told, "M500:52@4096 ");
  segment[JOURNAL_HEAD + 60] ^= 1; /* and torn itself */
  assert_int_equal(parse(SIZE), JOURNAL_HEAD);
  assert_string_equal(told, "");
}

/* a stranger writes records into his message: they are not looked at while it is whole, nor when
 * its tail is torn, and do not pass when its head is */
static void test_made_up_records(void **state)
{
  const struct journal_segment guess = {this.epoch, 0, SIZE};
  struct journal_record r = {.type = JOURNAL_DONE};
  char forged[4096], true_one[JOURNAL_RECORD];
  struct iovec v = {forged, sizeof forged};
  size_t at = JOURNAL_HEAD;

  (void)state;
  memcpy(r.id, id_of(1), sizeof r.id);
  journal_record_make(true_one, &this, &r, NULL, 0); /* as if he knew the salt */
  for (size_t i = 0; i < sizeof forged; i += JOURNAL_RECORD)
    if (i + JOURNAL_RECORD <= sizeof forged)
      journal_record_make(forged + i, &guess, &r, NULL, 0);
  memcpy(forged + 96, true_one, sizeof true_one);
  start(&this);
  r = (struct journal_record){.type = JOURNAL_MESSAGE, .len = sizeof forged};
  memcpy(r.id, id_of(2), sizeof r.id);
  journal_record_make(segment + at, &this, &r, &v, 1);
  memcpy(segment + at + JOURNAL_RECORD, forged, sizeof forged);
  parse(SIZE);
  assert_string_equal(told, "M2:4096@4096 ");
  segment[at + JOURNAL_RECORD + 4000] ^= 1;
  parse(SIZE);
  assert_string_equal(told, "");
  memset(segment + at + JOURNAL_RECORD + 96, 0, JOURNAL_RECORD);
  segment[at] ^= 1;
  parse(SIZE);
  assert_string_equal(told, "");
}

static void test_sizes(void **state)
{
  (void)state;
  assert_int_equal(journal_record_size(0), JOURNAL_RECORD);
  assert_int_equal(journal_record_size(1), JOURNAL_RECORD + 8);
  assert_int_equal(journal_record_size(8), JOURNAL_RECORD + 8);
  start(&this);
  put(&this, JOURNAL_MESSAGE, 1, 1, 0);
  put(&this, JOURNAL_DONE, 2, 0, SIZE); /* all was durable, it says */
  memmove(segment + JOURNAL_HEAD, segment + JOURNAL_HEAD + 56, JOURNAL_RECORD);
  end = JOURNAL_HEAD + JOURNAL_RECORD;
  put(&this, JOURNAL_MESSAGE, 1, 1, 0);
  parse(end - 7); /* the file ends within the last record's padding: nothing is lost */
  assert_string_equal(told, "D2:0@4096 M1:1@4144 ");
  assert_int_equal(losses, 0);
  start(&this);
  for (size_t len = 0; len < JOURNAL_HEAD + 100; len++) { /* files that are too short */
    parse(len);
    assert_string_equal(told, "");
  }
}

/* ---- flights.c */

static void test_flights(void **state)
{
  enum { MANY = 3000 };
  static unsigned char is_there[MANY];
  struct flights t = {0};
  uint32_t count = 0, at = 0, seen = 0;
  unsigned int seed = 4711;

  (void)state;
  assert_null(flights_find(&t, id_of(1)));
  for (int round = 0; round < 40000; round++) {
    unsigned int n;
    struct flight f = {.segment = 0}, *found;
    seed = seed * 1103515245 + 12345;
    n = (seed >> 8) % MANY;
    memcpy(f.id, id_of(n), STORE_ID_LEN);
    f.at = n;
    f.segment = (uint8_t)(n % JOURNAL_SEGMENTS);
    found = flights_find(&t, f.id);
    assert_int_equal(found != NULL, is_there[n]);
    if (found && (seed & 64)) {
      flights_drop(&t, found);
      is_there[n] = 0;
      count--;
    } else if (!found) {
      assert_non_null(flights_add(&t, &f));
      is_there[n] = 1;
      count++;
    }
    assert_int_equal(t.count, count);
  }
  for (unsigned int n = 0; n < MANY; n++) {
    const struct flight *f = flights_find(&t, id_of(n));
    assert_int_equal(f != NULL, is_there[n]);
    if (f)
      assert_int_equal(f->at, n);
  }
  while (flights_next(&t, &at))
    seen++;
  assert_int_equal(seen, count);
  seen = 0;
  for (int i = 0; i < JOURNAL_SEGMENTS; i++)
    seen += t.in_segment[i];
  assert_int_equal(seen, count);
  flights_free(&t);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_head),        cmocka_unit_test(test_records),
    cmocka_unit_test(test_torn_tail),   cmocka_unit_test(test_every_byte),
    cmocka_unit_test(test_lost),        cmocka_unit_test(test_old_records),
    cmocka_unit_test(test_made_up_records), cmocka_unit_test(test_sizes),
    cmocka_unit_test(test_flights),
  };
  return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
