/* test_envelope.c - the envelope block of a queue file: made, read back, torn and damaged */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xxhash.h>

#include "queue/envelope.h"

#define BODY "Subject: x\r\n\r\nbody\r\n"

static const struct envelope_new usual = {
  .id = "0abcdefghjkmn17", .sender = "alice@example.org", .envid = "QQ+2B1", .ret = "HDRS",
  .client = "192.0.2.1:4711", .helo = "client.example", .protocol = "ESMTP", .created = 1769850000,
  .flags = ENVELOPE_8BITMIME | ENVELOPE_RELAYED};

/* makes the whole file in out (replaced) */
static void make(stralloc *out, const struct envelope_new *n, size_t nrcpt, const char *body)
{
  struct envelope_sum sum = {.body_len = strlen(body), .content = CONTENT_8BIT_BODY | CONTENT_DOT_LINE, .longest = 77};
  char address[40];
  XXH3_state_t *x = XXH3_createState();

  assert_int_equal(envelope_begin(out, n), 0);
  for (size_t i = 0; i < nrcpt; i++) {
    snprintf(address, sizeof address, "user%zu@example.net", i);
    assert_int_equal(envelope_add_rcpt(out, address, i % 2 ? "SUCCESS,FAILURE" : "", i % 3 ? "rfc822;u+2B@x" : ""), 0);
  }
  assert_int_equal(envelope_finish(out), 0);
  sum.env_len = out->len;
  XXH3_64bits_reset(x);
  XXH3_64bits_update(x, out->s + ENVELOPE_HEAD, out->len - ENVELOPE_HEAD);
  XXH3_64bits_update(x, body, strlen(body));
  envelope_head(out->s, &sum);
  XXH3_64bits_update(x, out->s, ENVELOPE_HEAD_SUMMED);
  sum.checksum = XXH3_64bits_digest(x);
  XXH3_freeState(x);
  envelope_head(out->s, &sum);
  assert_true(stralloc_cats(out, body) && stralloc_cats(out, ENVELOPE_END));
}

static int file_of(const char *s, size_t len)
{
  int fd = memfd_create("message", MFD_CLOEXEC);

  assert_true(fd >= 0);
  assert_int_equal(write(fd, s, len), len);
  return fd;
}

/* reads and verifies; 0 when the file is a whole message */
static int judge(const char *s, size_t len)
{
  struct envelope e;
  const char *why = NULL;
  int fd = file_of(s, len), r = envelope_read(fd, &e, &why);

  if (r == 0) {
    r = envelope_verify(fd, &e, &why);
    envelope_free(&e);
  }
  if (r != 0) {
    assert_int_equal(errno, EBADMSG);
    assert_true(why && *why);
  }
  close(fd);
  return r;
}

static void test_round_trip(void **state)
{
  stralloc file = {0};
  struct envelope e;
  const char *why;
  int fd;

  (void)state;
  make(&file, &usual, 4, BODY);
  fd = file_of(file.s, file.len);
  assert_int_equal(envelope_read(fd, &e, &why), 0);
  assert_int_equal(envelope_verify(fd, &e, &why), 0);
  assert_string_equal(e.id, usual.id);
  assert_string_equal(e.sender, usual.sender);
  assert_string_equal(e.envid, usual.envid);
  assert_string_equal(e.ret, "HDRS");
  assert_string_equal(e.client, usual.client);
  assert_string_equal(e.helo, usual.helo);
  assert_string_equal(e.protocol, "ESMTP");
  assert_int_equal(e.created, usual.created);
  assert_int_equal(e.flags, usual.flags);
  assert_int_equal(e.content, CONTENT_8BIT_BODY | CONTENT_DOT_LINE);
  assert_int_equal(e.longest, 77);
  assert_int_equal(e.body_len, strlen(BODY));
  assert_memory_equal(file.s + e.body_at, BODY, strlen(BODY));
  assert_int_equal(e.history_at, file.len);
  assert_int_equal(e.nrcpt, 4);
  for (size_t i = 0; i < 4; i++) {
    const struct envelope_rcpt *r = &e.rcpt[i];
    assert_int_equal(r->status, RCPT_TODO);
    assert_int_equal(r->attempts, 0);
    assert_int_equal(r->next, 0);
    assert_string_equal(r->notify, i % 2 ? "SUCCESS,FAILURE" : "");
    assert_string_equal(r->orcpt, i % 3 ? "rfc822;u+2B@x" : "");
    assert_string_equal(envelope_domain(r->address), "example.net");
    assert_int_equal(file.s[r->at], 'r');
  }
  envelope_free(&e);
  close(fd);
  free(file.s);
}

/* the null sender, no HELO, empty body, spaces and 8-bit bytes in an address */
static void test_odd_but_legal(void **state)
{
  struct envelope_new n = {.id = "x", .sender = "", .envid = "", .ret = "", .client = "", .helo = "", .protocol = ""};
  stralloc file = {0};
  struct envelope e;
  const char *why;

  (void)state;
  make(&file, &n, 1, "");
  assert_int_equal(judge(file.s, file.len), 0);
  assert_int_equal(envelope_parse(file.s, file.len, &e, &why), 0);
  assert_string_equal(e.sender, "");
  assert_int_equal(e.body_len, 0);
  envelope_free(&e);
  assert_int_equal(envelope_begin(&file, &usual), 0);
  assert_int_equal(envelope_add_rcpt(&file, "\"a b\"@b\xc3\xbc" "cher.example", "NEVER", ""), 0);
  assert_int_equal(envelope_finish(&file), 0);
  envelope_head(file.s, &(struct envelope_sum){.env_len = file.len});
  assert_int_equal(envelope_parse(file.s, file.len, &e, &why), 0);
  assert_string_equal(e.rcpt[0].address, "\"a b\"@b\xc3\xbc" "cher.example");
  assert_string_equal(e.rcpt[0].notify, "NEVER");
  envelope_free(&e);
  free(file.s);
}

/* a file cut at any byte is no message; what follows the end mark does not matter */
static void test_truncation(void **state)
{
  stralloc file = {0};

  (void)state;
  make(&file, &usual, 3, BODY);
  for (size_t len = 0; len < file.len; len++)
    if (judge(file.s, len) == 0)
      fail_msg("a message although cut at %zu of %zu", len, file.len);
  assert_int_equal(judge(file.s, file.len), 0);
  assert_true(stralloc_cats(&file, "a\t1\t1\ttorn hist"));
  assert_int_equal(judge(file.s, file.len), 0);
  free(file.s);
}

/* blocks of zeroes, as a file system leaves them after a cut */
static void test_zeroes(void **state)
{
  stralloc file = {0};

  (void)state;
  make(&file, &usual, 3, BODY);
  for (size_t from = 0; from < file.len; from += 7) {
    char *s = malloc(file.len);
    memcpy(s, file.s, file.len);
    memset(s + from, 0, file.len - from);
    assert_int_equal(judge(s, file.len), -1);
    free(s);
  }
  free(file.s);
}

/* where a flipped bit is no damage to be found: a recipient's changing part */
static int is_uncovered(const stralloc *file, size_t at)
{
  const char *line = file->s;

  while (line && line < file->s + file->len) {
    const char *nl = memchr(line, '\n', (size_t)(file->s + file->len - line));
    size_t start = (size_t)(line - file->s);
    if (line[0] == 'r' && line[1] == ' ' && at >= start + 2 && at < start + 17)
      return 1;
    line = nl ? nl + 1 : NULL;
  }
  return 0;
}

static void test_every_bit_flipped(void **state)
{
  stralloc file = {0};

  (void)state;
  make(&file, &usual, 3, BODY);
  for (size_t at = 0; at < file.len; at++)
    for (int bit = 0; bit < 8; bit++) {
      int r;
      file.s[at] ^= (char)(1 << bit);
      r = judge(file.s, file.len);
      file.s[at] ^= (char)(1 << bit);
      if (r == 0 && !is_uncovered(&file, at))
        fail_msg("bit %d of byte %zu flipped, and still a message", bit, at);
    }
  free(file.s);
}

static void test_checksum(void **state)
{
  stralloc file = {0};
  struct envelope e;
  const char *why;
  int fd;

  (void)state;
  make(&file, &usual, 2, BODY);
  file.s[file.len - strlen(ENVELOPE_END) - 3] ^= 1; /* a byte of the message */
  fd = file_of(file.s, file.len);
  assert_int_equal(envelope_read(fd, &e, &why), 0);
  assert_int_equal(envelope_verify(fd, &e, &why), -1);
  assert_int_equal(errno, EBADMSG);
  assert_string_equal(why, "checksum differs");
  envelope_free(&e);
  close(fd);
  free(file.s);
}

/* a block with this text between head and message */
static int parse_block(const char *lines, size_t len, const char **why)
{
  struct envelope_sum sum = {.env_len = ENVELOPE_HEAD + len};
  char *buf = malloc(ENVELOPE_HEAD + len);
  struct envelope e;
  int r;

  envelope_head(buf, &sum);
  memcpy(buf + ENVELOPE_HEAD, lines, len);
  r = envelope_parse(buf, ENVELOPE_HEAD + len, &e, why);
  if (r == 0)
    envelope_free(&e);
  else
    assert_int_equal(errno, EBADMSG);
  free(buf);
  return r;
}

#define LINES "i 0abc\nt 1\ns a@b\nv \nd \no \nc x\nh y\np z\n"
#define RCPT "r T 0000 00000000 - - a\n"

static void test_blocks(void **state)
{
  static const struct {
    const char *s;
    size_t len;
    int ok;
  } rows[] = {
#define ROW(s, ok) {s, sizeof(s) - 1, ok}
    ROW(LINES RCPT "\n", 1),
    ROW(LINES RCPT RCPT "\n", 1),
    ROW(LINES "r D ffff ffffffff NEVER rfc822;a a@b\n\n", 1),
    ROW(LINES "\n", 0),
    ROW(LINES RCPT, 0),
    ROW(LINES RCPT "\n\n", 0),
    ROW(LINES RCPT "\nx\n", 0),
    ROW(LINES RCPT "x", 0),
    ROW("\n", 0),
    ROW("\n\n\n\n\n\n\n\n\n\n\n\n", 0),
    ROW("t 1\ni 0abc\ns a@b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt \ns a@b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt -1\ns a@b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt  1\ns a@b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt 99999999999999999999999999\ns a@b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0ABC\nt 1\ns a@b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i ../../x\nt 1\ns a@b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i \nt 1\ns a@b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0123456789012345678901234567890a\nt 1\ns a@b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt 1\ns a@b\nv \nd full\no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt 1\ns a@b\nv \nd \no q\nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt 1\ns a@b\nv \nd \no bb\nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt 1\ns a@\0b\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt 1\ns a@b\r\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW("i 0abc\nt 1\ns a@b\x7f\nv \nd \no \nc x\nh y\np z\n" RCPT "\n", 0),
    ROW(LINES "r W 0000 00000000 - - a\n\n", 1),
    ROW(LINES "r M 0000 00000000 - - a\n\nr P 0000 00000000 - - a\n", 0),
    ROW(LINES "r M 0000 00000000 - - a\nr P 0000 00000000 - - a\nr X 0000 00000000 - - a\n\n", 1),
    ROW(LINES "r Q 0000 00000000 - - a\n\n", 0),
    ROW(LINES "r \0 0000 00000000 - - a\n\n", 0),
    ROW(LINES "r T 000 000000000 - - a\n\n", 0),
    ROW(LINES "r T 00g0 00000000 - - a\n\n", 0),
    ROW(LINES "r T 0000 0000000F - - a\n\n", 0),
    ROW(LINES "r T 0000 00000000 - - \n\n", 0),
    ROW(LINES "r T 0000 00000000 - a-long-one\n\n", 0),
    ROW(LINES "r T 0000 00000000  - - a\n\n", 0),
    ROW(LINES "r T 0000 00000000 -  a-long-one\n\n", 0),
    ROW(LINES "r T 0000 00000000 - -\n\n", 0),
    ROW(LINES "R T 0000 00000000 - - a\n\n", 0),
#undef ROW
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *why = NULL;
    if ((parse_block(rows[i].s, rows[i].len, &why) == 0) != rows[i].ok)
      fail_msg("row %zu: %s", i, rows[i].s);
  }
}

/* a block of newlines asks for no room beyond what real lines would need */
static void test_many_newlines(void **state)
{
  size_t len = 20 * 1024 * 1024;
  char *s = malloc(len);
  const char *why;

  (void)state;
  memset(s, '\n', len);
  memcpy(s, LINES, sizeof LINES - 1);
  assert_int_equal(parse_block(s, len, &why), -1);
  free(s);
}

static void test_heads(void **state)
{
  static const struct {
    const char *at_of, *with;
  } rows[] = {
    {"heloise 1", "heloise 2"}, {"heloise 1 ", "heloise 1\n"}, {"heloise", "HELOISE"},
  };
  static const uint64_t lens[] = {0, ENVELOPE_HEAD, ENVELOPE_MAX + 1, UINT32_MAX};
  stralloc file = {0};
  struct envelope e;
  const char *why;

  (void)state;
  make(&file, &usual, 1, BODY);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    memcpy(file.s, rows[i].with, strlen(rows[i].with));
    assert_int_equal(envelope_parse(file.s, file.len, &e, &why), -1);
    assert_string_equal(why, "no head line");
    memcpy(file.s, rows[i].at_of, strlen(rows[i].at_of));
  }
  for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
    envelope_head(file.s, &(struct envelope_sum){.env_len = lens[i], .body_len = 3});
    assert_int_equal(judge(file.s, file.len), -1);
  }
  envelope_head(file.s, &(struct envelope_sum){.env_len = 200, .body_len = UINT64_MAX});
  assert_int_equal(judge(file.s, file.len), -1);
  envelope_head(file.s, &(struct envelope_sum){.env_len = file.len, .body_len = INT64_MAX / 2});
  assert_int_equal(judge(file.s, file.len), -1);
  free(file.s);
}

/* more recipients than the first read of a file holds */
static void test_many_recipients(void **state)
{
  stralloc file = {0};
  struct envelope e;
  const char *why;
  int fd;

  (void)state;
  make(&file, &usual, 100000, BODY);
  fd = file_of(file.s, file.len);
  assert_int_equal(envelope_read(fd, &e, &why), 0);
  assert_int_equal(envelope_verify(fd, &e, &why), 0);
  assert_int_equal(e.nrcpt, 100000);
  assert_string_equal(e.rcpt[99999].address, "user99999@example.net");
  envelope_free(&e);
  assert_int_equal(ftruncate(fd, 10000), 0);
  assert_int_equal(envelope_read(fd, &e, &why), -1);
  assert_int_equal(errno, EBADMSG);
  assert_string_equal(why, "shorter than its envelope");
  close(fd);
  free(file.s);
}

/* marks change in place, are read back, leave the checksum and their neighbours alone */
static void test_marks(void **state)
{
  static const struct {
    enum rcpt_status status;
    unsigned int attempts;
    uint64_t next, next_read;
    int is_warned;
  } rows[] = {{RCPT_DONE, 1, 0, 0, 0}, {RCPT_FAILED, 65535, 1769850001, 1769850001, 0}, {RCPT_BOUNCED, 0, UINT32_MAX, UINT32_MAX, 0},
              {RCPT_BOUNCED, 3, UINT64_MAX, UINT32_MAX, 0}, {RCPT_TODO, 12, 5, 5, 0}, {RCPT_TODO, 12, 5, 5, 1},
              {RCPT_DELIVERED, 1, 0, 0, 0}, {RCPT_RELAYED, 1, 0, 0, 0}, {RCPT_EXPANDED, 1, 0, 0, 0}};
  const size_t n = sizeof rows / sizeof *rows;
  stralloc file = {0};
  struct envelope e;
  const char *why;
  int fd;

  (void)state;
  make(&file, &usual, n, BODY);
  fd = file_of(file.s, file.len);
  assert_int_equal(envelope_read(fd, &e, &why), 0);
  for (size_t i = 0; i < n; i++) {
    e.rcpt[i].is_warned = rows[i].is_warned;
    e.rcpt[i].status = rows[i].status;
    e.rcpt[i].attempts = rows[i].attempts;
    e.rcpt[i].next = rows[i].next;
    assert_int_equal(envelope_mark(fd, &e, i), 0);
  }
  envelope_free(&e);
  assert_int_equal(lseek(fd, 0, SEEK_END), file.len);
  assert_int_equal(envelope_read(fd, &e, &why), 0);
  assert_int_equal(envelope_verify(fd, &e, &why), 0);
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(e.rcpt[i].is_warned, rows[i].is_warned);
    assert_int_equal(e.rcpt[i].status, rows[i].status);
    assert_int_equal(e.rcpt[i].attempts, rows[i].attempts);
    assert_int_equal(e.rcpt[i].next, rows[i].next_read);
  }
  assert_int_equal(envelope_mark(-1, &e, 0), -1);
  envelope_free(&e);
  close(fd);
  free(file.s);
}

static void test_flags(void **state)
{
  unsigned int flags;
  char out[16];

  (void)state;
  for (unsigned int f = 0; f < 32; f++) {
    size_t n = envelope_flags_write(out, f);
    assert_int_equal(strlen(out), n);
    assert_int_equal(envelope_flags_read(out, n, &flags), 0);
    assert_int_equal(flags, f);
  }
  assert_int_equal(envelope_flags_read("x", 1, &flags), -1);
  assert_int_equal(envelope_flags_read("bb", 2, &flags), -1);
  assert_int_equal(envelope_flags_read("b\0", 2, &flags), -1);
}

static void test_domain(void **state)
{
  (void)state;
  assert_string_equal(envelope_domain("a@b"), "b");
  assert_string_equal(envelope_domain("\"a@x\"@b"), "b");
  assert_string_equal(envelope_domain("a"), "");
  assert_string_equal(envelope_domain(""), "");
  assert_string_equal(envelope_domain("a@"), "");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_round_trip), cmocka_unit_test(test_odd_but_legal),
    cmocka_unit_test(test_truncation), cmocka_unit_test(test_zeroes),
    cmocka_unit_test(test_every_bit_flipped), cmocka_unit_test(test_checksum),
    cmocka_unit_test(test_blocks),     cmocka_unit_test(test_many_newlines),
    cmocka_unit_test(test_heads),      cmocka_unit_test(test_many_recipients),
    cmocka_unit_test(test_marks),      cmocka_unit_test(test_flags),
    cmocka_unit_test(test_domain),
  };
  return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
