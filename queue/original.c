/* original.c - the message that a report is about: what of it comes back, and its name
 *
 * Runs in heloise-bounce. The message is hostile. */
#include "queue/original.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/header.h"

#define MESSAGE_ID_MAX 250

/* msg-id = "<" id-left "@" id-right ">": what could do harm in a field of ours is none */
static int is_message_id(const char *s, size_t len)
{
  if (len < 5 || len > MESSAGE_ID_MAX || s[0] != '<' || s[len - 1] != '>' ||
      !memchr(s, '@', len))
    return 0;
  for (size_t i = 1; i + 1 < len; i++)
    if (s[i] <= 32 || s[i] >= 127 || strchr("<>()\\\"", s[i]))
      return 0;
  return 1;
}

static int keep_message_id(struct original *o, const char *s, size_t len)
{
  stralloc value = {0};
  size_t at = header_value(s, len), n;
  int r = header_unfold(&value, s + at, len - at);

  if (r == 0) {
    for (at = 0; at < value.len && (value.s[at] == ' ' || value.s[at] == '\t');)
      at++;
    for (n = value.len - at; n > 0 && (value.s[at + n - 1] == ' ' || value.s[at + n - 1] == '\t');)
      n--;
    if (is_message_id(value.s + at, n))
      r = stralloc_copyb(&o->message_id, value.s + at, n) ? 0 : -1;
  }
  stralloc_free(&value);
  return r;
}

/* length of the line at s with its line end; 0 when it has none */
static size_t line_length(const char *s, size_t len)
{
  const char *lf = memchr(s, '\n', len);

  return lf ? (size_t)(lf - s) + 1 : 0;
}

/* length of the field at s with its folded lines, as far as it is there */
static size_t field_length(const char *s, size_t len)
{
  size_t n = line_length(s, len), more;

  while (n > 0 && n < len && (s[n] == ' ' || s[n] == '\t') && (more = line_length(s + n, len - n)) > 0)
    n += more;
  return n;
}

static int walk(struct original *o, const char *s, size_t len)
{
  size_t n;

  for (size_t at = 0; at < len && (n = field_length(s + at, len - at)) > 0; at += n) {
    o->header = at + n;
    if (n == 2 && s[at] == '\r')
      break;
    if (o->message_id.len == 0 && header_is(s + at, n, "Message-ID") &&
        keep_message_id(o, s + at, n) != 0)
      return -1;
  }
  return 0;
}

static int take(void *text, const char *s, size_t len)
{
  return stralloc_catb(text, s, len) ? 0 : -1;
}

int original_open(struct original *o, int fd, const struct envelope *e)
{
  stralloc text = {0}; /* bound: ORIGINAL_HEADER_MAX */
  int r;

  *o = (struct original){.fd = fd, .e = e};
  r = original_each(o, e->body_len < ORIGINAL_HEADER_MAX ? e->body_len : ORIGINAL_HEADER_MAX, take, &text);
  if (r == 0)
    r = walk(o, text.s, text.len);
  if (r == 0 && !stralloc_0(&o->message_id))
    r = -1;
  stralloc_free(&text);
  return r;
}

void original_free(struct original *o)
{
  stralloc_free(&o->message_id);
}

/* the next bytes before `end`; -1 with errno */
static ssize_t read_some(const struct original *o, uint64_t at, uint64_t end, char *buf)
{
  size_t want = end - at < ORIGINAL_FRAME ? (size_t)(end - at) : ORIGINAL_FRAME;
  ssize_t n;

  do
    n = pread(o->fd, buf, want, o->e->body_at + (off_t)at);
  while (n < 0 && errno == EINTR);
  if (n == 0)
    errno = EBADMSG; /* shorter than its envelope says */
  return n > 0 ? n : -1;
}

int original_each(const struct original *o, uint64_t end, int (*f)(void *arg, const char *s, size_t len),
                  void *arg)
{
  char buf[ORIGINAL_FRAME];

  for (uint64_t at = 0; at < end;) {
    ssize_t n = read_some(o, at, end, buf);
    if (n < 0 || f(arg, buf, (size_t)n) != 0)
      return -1;
    at += (uint64_t)n;
  }
  return 0;
}
