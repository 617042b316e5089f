/* import_fault.c - whether a file of an archive is a message that the intake would have taken
 *
 * An archive is hostile. Sums prove that a file is whole, not that it is what it says: how a message is
 * sent depends on what its head line says of its content, and a line with a dot that it does not tell
 * of would end the message, and begin the peer's next command, wherever somebody wanted. */
#include "queue/import_fault.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/content.h"
#include "queue/envelope.h"

#define CHUNK 32768

static int is_address(const char *s, int allow_null)
{
  static struct address a;
  const char *why;

  return address_parse(s, strlen(s), allow_null, &a, &why) == 0 && strcmp(a.text.s, s) == 0;
}

static int has_addresses(const struct envelope *e)
{
  for (size_t i = 0; i < e->nrcpt; i++)
    if (!is_address(e->rcpt[i].address, 0))
      return 0;
  return is_address(e->sender, 1);
}

/* 0, or -1: it cannot be read */
static int scan(int fd, const struct envelope *e, struct content *c)
{
  static char buf[CHUNK];
  uint64_t left = e->body_len;

  content_start(c);
  for (off_t at = e->body_at; left > 0;) {
    ssize_t n = pread(fd, buf, left < CHUNK ? (size_t)left : CHUNK, at);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return -1;
    content_scan(c, buf, (size_t)n);
    at += n;
    left -= (uint64_t)n;
  }
  content_end(c);
  return 0;
}

static const char *content_fault(int fd, const struct envelope *e)
{
  struct content c;
  unsigned int is;

  if (scan(fd, e, &c) != 0)
    return "cannot be read";
  if (c.has_nul || c.has_bare_cr || c.has_bare_lf || !c.ends_line)
    return "its lines do not all end with CR LF, or it holds a NUL byte";
  is = (c.has_8bit_header ? CONTENT_8BIT_HEADER : 0U) | (c.has_8bit_body ? CONTENT_8BIT_BODY : 0U) |
       (c.has_dot_line ? CONTENT_DOT_LINE : 0U);
  return (is & ~e->content) || c.longest > e->longest ? "its content is not what its head line says" : NULL;
}

const char *import_fault(int fd, const char *id)
{
  struct envelope e;
  const char *why;

  if (envelope_read(fd, &e, &why) != 0)
    return why;
  if (strcmp(e.id, id) != 0)
    why = "its id is another one";
  else if (!has_addresses(&e))
    why = "an address is malformed";
  else if (envelope_verify(fd, &e, &why) == 0)
    why = content_fault(fd, &e);
  envelope_free(&e);
  return why;
}
