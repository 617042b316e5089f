/* test_original.c - what comes back of a message: its header, and its name; whatever stands in it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue/original.h"

static int file_of(const char *body, size_t len)
{
  int fd = memfd_create("message", MFD_CLOEXEC);

  assert_int_equal(write(fd, "0123456789", 10), 10);
  assert_int_equal(write(fd, body, len), len);
  return fd;
}

static void header(void **state)
{
  static const struct {
    const char *body;
    size_t header;
    const char *id;
  } rows[] = {
    {"Subject: x\r\nMessage-ID: <a@b>\r\n\r\nMessage-ID: <c@d>\r\n", 33, "<a@b>"},
    {"message-id:\r\n\t<a@b>  \r\n\r\n", 25, "<a@b>"},
    {"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n", 38, "<a@b>"}, /* a header alone */
    {"\r\nMessage-ID: <a@b>\r\n", 2, ""},
    {"Message-ID: <a b@c>\r\n\r\n", 23, ""},
    {"Message-ID: <a@b>\r\n X: y\r\n\r\n", 28, ""},
    {"Message-ID: a@b\r\n\r\n", 19, ""},
    {"Message-ID: <a@\xe4>\r\n\r\n", 21, ""},
    {"Message-ID:\r\n\r\n", 15, ""},
    {"no field\r\n\r\n", 12, ""},
  };
  struct envelope e = {.body_at = 10};
  struct original o;

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int fd = file_of(rows[i].body, strlen(rows[i].body));
    e.body_len = strlen(rows[i].body);
    assert_int_equal(original_open(&o, fd, &e), 0);
    assert_string_equal(o.message_id.s, rows[i].id);
    assert_int_equal(o.header, rows[i].header);
    original_free(&o);
    close(fd);
  }
}

/* more header than comes back is cut between lines */
static void huge(void **state)
{
  size_t len = 2 * ORIGINAL_HEADER_MAX;
  char *body = malloc(len);
  struct envelope e = {.body_at = 10, .body_len = len};
  struct original o;
  int fd;

  (void)state;
  assert_non_null(body);
  memset(body, 'x', len);
  fd = file_of(body, len);
  assert_int_equal(original_open(&o, fd, &e), 0);
  assert_int_equal(o.header, 0); /* not even one whole line */
  original_free(&o);
  close(fd);
  for (size_t i = 0; i + 100 <= len; i += 100)
    memcpy(body + i, i % 200 ? " xxx\r\n" : "A: xx\r\n", 6 + (i % 200 == 0));
  for (size_t i = 98; i + 2 <= len; i += 100)
    memcpy(body + i, "\r\n", 2);
  fd = file_of(body, len);
  assert_int_equal(original_open(&o, fd, &e), 0);
  assert_true(o.header > ORIGINAL_HEADER_MAX - 200 && o.header <= ORIGINAL_HEADER_MAX);
  assert_memory_equal(body + o.header - 2, "\r\n", 2);
  original_free(&o);
  close(fd);
  free(body);
}

struct sum {
  size_t bytes, pieces;
};

static int count(void *arg, const char *s, size_t len)
{
  struct sum *n = arg;

  (void)s;
  n->bytes += len;
  n->pieces++;
  return n->pieces == 3 ? -1 : 0;
}

static void pieces(void **state)
{
  size_t len = 3 * ORIGINAL_FRAME;
  char *body = calloc(1, len);
  struct envelope e = {.body_at = 10, .body_len = len};
  struct original o = {.e = &e};
  struct sum n = {0, 0};

  (void)state;
  o.fd = file_of(body, len);
  assert_int_equal(original_each(&o, ORIGINAL_FRAME + 5, count, &n), 0);
  assert_int_equal(n.bytes, ORIGINAL_FRAME + 5);
  assert_int_equal(n.pieces, 2);
  assert_int_equal(original_each(&o, len, count, &n), -1);
  n = (struct sum){0, 10};
  e.body_at = 20; /* it ends too soon */
  assert_int_equal(original_each(&o, len, count, &n), -1);
  assert_int_equal(errno, EBADMSG);
  close(o.fd);
  free(body);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(header), cmocka_unit_test(huge), cmocka_unit_test(pieces)};

  return cmocka_run_group_tests_name("original", tests, NULL, NULL);
}
