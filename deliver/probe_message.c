/* probe_message.c - the message a probe asks about: would it fit?
 *
 * Runs in `heloise probe`, as its caller, before anything comes from the network. Files of the
 * queue and others are hostile. */
#include "deliver/probe_message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/content.h"
#include "common/verbs.h"
#include "common/verdict.h"
#include "deliver/body.h"
#include "queue/store.h"

static int complain(const char *what, const char *why, int code)
{
  fprintf(stderr, "heloise: probe: %s: %s\n", what, why);
  return code;
}

/* ---- from the queue */

static int open_queued(int queue_fd, const char *id, struct probe_message *m)
{
  struct store_name n;
  const char *why = "it does not parse";

  if (store_find(queue_fd, id, &n) != 0 || (m->fd = store_open(queue_fd, &n, O_RDONLY)) < 0)
    return complain(id, errno == ENOENT ? "no such message is in the queue" : strerror(errno),
                    errno == EACCES ? EXIT_NOPERM : EXIT_DATA);
  if (envelope_read(m->fd, &m->e, &why) != 0)
    return complain(id, why, EXIT_DATA);
  m->recipient = calloc(m->e.nrcpt + 1, sizeof *m->recipient);
  for (size_t i = 0; m->recipient && i < m->e.nrcpt; i++)
    if (m->e.rcpt[i].status == RCPT_TODO)
      m->recipient[m->n++].rcpt = &m->e.rcpt[i];
  return m->recipient ? 0 : complain(id, strerror(errno), EXIT_OSERR);
}

/* ---- from a file: its line ends become CR LF, as sendmail(8) would have it */

struct copy {
  int to;
  char last; /* byte of the piece before */
  struct content c;
};

static int put(struct copy *w, const char *s, size_t len)
{
  content_scan(&w->c, s, len);
  return write(w->to, s, len) == (ssize_t)len ? 0 : -1;
}

static int copy_piece(struct copy *w, const char *s, size_t len)
{
  size_t from = 0;

  for (size_t i = 0; i < len; i++)
    if (s[i] == '\n' && (i ? s[i - 1] : w->last) != '\r') {
      if (put(w, s + from, i - from) != 0 || put(w, "\r\n", 2) != 0)
        return -1;
      from = i + 1;
    }
  if (len > 0)
    w->last = s[len - 1];
  return put(w, s + from, len - from);
}

static int copy_all(int from, struct copy *w)
{
  static char buf[65536];
  ssize_t n;

  content_start(&w->c);
  while ((n = read(from, buf, sizeof buf)) > 0)
    if (copy_piece(w, buf, (size_t)n) != 0)
      return -1;
  content_end(&w->c);
  return n < 0 ? -1 : 0;
}

static int open_file(const char *path, struct probe_message *m)
{
  int from = open(path, O_RDONLY | O_CLOEXEC), r;
  struct copy w = {.to = -1};

  if (from < 0)
    return complain(path, strerror(errno), errno == EACCES ? EXIT_NOPERM : EXIT_DATA);
  m->fd = w.to = memfd_create("message", MFD_CLOEXEC);
  r = m->fd < 0 ? -1 : copy_all(from, &w);
  close(from);
  if (r != 0)
    return complain(path, strerror(errno), EXIT_IOERR);
  m->e.body_len = w.c.size;
  m->e.longest = w.c.longest;
  m->e.id = "probe";
  m->e.sender = m->e.ret = m->e.envid = "";
  m->e.content = (w.c.has_8bit_header ? CONTENT_8BIT_HEADER : 0U) |
                 (w.c.has_8bit_body ? CONTENT_8BIT_BODY : 0U) |
                 (w.c.has_dot_line ? CONTENT_DOT_LINE : 0U);
  return 0;
}

static int open_any(const struct instance *i, const char *what, struct probe_message *m)
{
  int queue_fd, r;

  if (!store_is_id(what, strlen(what)) || access(what, F_OK) == 0)
    return open_file(what, m);
  queue_fd = open(i->queue, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (queue_fd < 0)
    return complain(i->queue, strerror(errno), EXIT_NOPERM);
  r = open_queued(queue_fd, what, m);
  close(queue_fd);
  return r;
}

static struct body body_of(const struct probe_message *m)
{
  return (struct body){.fd = m->fd, .at = m->e.body_at, .len = m->e.body_len};
}

int probe_message_open(const struct instance *i, const char *what, struct probe_message *m)
{
  int r = open_any(i, what, m);
  struct body b = body_of(m);

  if (r == 0)
    body_eightbit(&b, &m->e, &m->eight);
  return r;
}

/* ---- against a peer */

void probe_message_fit(const struct probe_message *m, const struct session *s, struct probe_fits *f)
{
  struct eightbit_case c = s->attempt->eight;
  struct body b = body_of(m);

  c.is_offered = (s->verbs & VERB_8BITMIME) != 0;
  c.has_others = s->attempt->others > 0;
  b.form = eightbit_choose(&c);
  memset(f, 0, sizeof *f);
  if (body_size(&b, &f->bytes) != 0)
    f->bytes = m->e.body_len;
  f->limit = s->ehlo.size;
  f->size = f->limit && f->bytes > f->limit ? FIT_NO : FIT_YES;
  f->content = eightbit_reason(&c);
  if (c.has_8bit)
    f->eightbit = b.form == FORM_AS_IS || b.form == FORM_SHORT_LINES ? FIT_YES : FIT_NO;
  if (attempt_needs_utf8(s->attempt))
    f->utf8 = s->verbs & VERB_SMTPUTF8 ? FIT_YES : FIT_NO;
}
