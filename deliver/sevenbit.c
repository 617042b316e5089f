/* sevenbit.c - a message for a peer that cannot take 8-bit content
 *
 * Runs in an attempt. The message is hostile. RFC 6152 3; RFC 2045-2047, 2049; RFC 1428.
 *
 * A message is a tree of entities: header, empty line, body. An entity is read twice: once
 * to see what it is, once to write it. Bodies that are composites (multipart, message) are
 * walked, leaves that need it are encoded; what needs no change is copied. Malformed MIME
 * is one opaque leaf. */
#include "deliver/sevenbit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/eightbit.h"
#include "common/header.h"
#include "deliver/convert.h"
#include "deliver/encodedword.h"
#include "deliver/fold.h"
#include "deliver/parameter.h"

#define DEPTH_MAX 32
#define FIELD_MAX 65536 /* a longer header field is not encoded: its 8-bit bytes are lost */

struct measure {
  int has_8bit, is_long, needs;
  struct header_utf8 utf8;
  uint64_t size, qp_size;
};

/* ---- reading */

/* gathers the field that begins at `at`; returns where the next one does */
static uint64_t next_field(struct convert *cv, uint64_t at, uint64_t to)
{
  cv->field.len = 0;
  cv->is_cut = 0;
  for (int begins_line = 0;;) {
    struct window_line l = window_line(&cv->in, at, to);
    if (l.len == 0 || (begins_line && *l.s != ' ' && *l.s != '\t'))
      return at;
    if (cv->field.len + l.len > FIELD_MAX)
      cv->is_cut = 1;
    else if (!cv->is_cut && !stralloc_catb(&cv->field, l.s, l.len))
      cv->no_memory = 1;
    at += l.len;
    begins_line = l.ends;
  }
}

static int is_mbox_line(const char *s, size_t len)
{
  return len > 5 && memcmp(s, "From ", 5) == 0;
}

/* finds the header's end and what it says about the body. A line that is no field ends
 * the header too; an mbox "From " line in front is let pass. */
static void read_header(struct convert *cv, struct entity *e)
{
  uint64_t at = e->from;

  for (;;) {
    struct window_line l = window_line(&cv->in, at, e->to);
    e->header_end = e->body = at;
    if (l.len == 2 && memcmp(l.s, "\r\n", 2) == 0) {
      e->body = at + 2;
      return;
    }
    if (l.len == 0 ||
        (header_name(l.s, l.len) == 0 && !(at == e->from && is_mbox_line(l.s, l.len))))
      return;
    at = next_field(cv, at, e->to);
    if (cv->no_memory || cv->in.failed)
      return;
    mime_field(&e->mime, cv->field.s, cv->field.len);
  }
}

/* the next delimiter line at or after `at`, which begins a line */
struct delimiter convert_delimiter(struct convert *cv, const struct mime *m, uint64_t at,
                                   uint64_t to)
{
  struct delimiter d = {to, to, 0};

  for (int begins_line = 1; at < to;) {
    struct window_line l = window_line(&cv->in, at, to);
    if (l.len == 0)
      break;
    if (begins_line && l.ends && (d.kind = mime_delimiter(m, l.s, l.len)) != 0) {
      d.at = at;
      d.end = at + l.len;
      break;
    }
    begins_line = l.ends;
    at += l.len;
  }
  return d;
}

static int has_odd_byte(const char *s, size_t len)
{
  return memchr(s, 0, len) || memchr(s, '\r', len) || memchr(s, '\n', len);
}

static struct measure measure(struct convert *cv, uint64_t from, uint64_t to)
{
  struct measure m = {.size = to - from};
  struct transfer_qp qp = {.out = &cv->counter};
  uint64_t line = 0;

  transfer_start(&cv->counter, NULL);
  while (from < to) {
    struct window_line l = window_line(&cv->in, from, to);
    size_t n = window_text(&l);
    if (l.len == 0)
      break;
    m.has_8bit |= header_has_8bit(l.s, n);
    header_utf8_piece(&m.utf8, l.s, l.len);
    line += n;
    m.is_long |= line > EIGHTBIT_LINE_MAX;
    m.needs |= has_odd_byte(l.s, n);
    transfer_qp_piece(&qp, l.s, n, l.ends);
    if (n < l.len)
      transfer_qp_line(&qp);
    if (l.ends)
      line = 0;
    from += l.len;
  }
  m.needs |= m.is_long || (m.has_8bit && !cv->only_lines);
  m.qp_size = cv->counter.count;
  return m;
}

/* ---- deciding */

/* where a multipart's delimiters stand in clear it is not encoded, whatever its label says
 * (RFC 2045 6.4: it must not be) */
static int is_composite(struct convert *cv, const struct entity *e, unsigned int depth)
{
  if (depth >= DEPTH_MAX)
    return 0;
  if (e->mime.kind == MIME_MULTIPART)
    return convert_delimiter(cv, &e->mime, e->body, e->to).kind == 1;
  return e->mime.kind == MIME_MESSAGE && mime_is_identity(e->mime.cte);
}

/* quoted-printable or base64, whichever is smaller; line ends of binary data are data */
static enum treatment encoding_for(const struct entity *e, const struct measure *m)
{
  if (e->mime.cte == CTE_BINARY && e->mime.kind != MIME_TEXT)
    return TO_BASE64;
  return m->qp_size <= transfer_base64_size(m->size) ? TO_QP : TO_BASE64;
}

/* the label of what is 7-bit data now, and was called 8-bit data (RFC 2045 6.4) */
static void relabel(const struct convert *cv, struct entity *e)
{
  if ((e->mime.cte == CTE_8BIT || e->mime.cte == CTE_BINARY) && !cv->only_lines && !e->in_signed)
    e->cte = CTE_7BIT;
}

static void decide_composite(const struct convert *cv, struct entity *e, const struct measure *m)
{
  e->treatment = e->mime.kind == MIME_MULTIPART ? PARTS : MESSAGE;
  relabel(cv, e);
  /* a label that was false would have what is encoded now decoded twice */
  if (!mime_is_identity(e->mime.cte) && m->needs)
    e->cte = m->has_8bit && cv->only_lines ? CTE_8BIT : CTE_7BIT;
}

static void decide_leaf(const struct convert *cv, struct entity *e, const struct measure *m)
{
  if (!mime_is_identity(e->mime.cte)) {
    if (m->is_long || (m->has_8bit && !cv->only_lines))
      e->treatment = e->mime.cte == CTE_QP ? REPAIR_QP : REPAIR_BASE64;
    return;
  }
  if (m->needs) {
    e->treatment = encoding_for(e, m);
    e->cte = e->treatment == TO_QP ? CTE_QP : CTE_BASE64;
    e->add_type = m->has_8bit && !e->mime.has_type;
    e->is_utf8 = header_utf8_is_good(&m->utf8);
  } else
    relabel(cv, e);
}

static void decide(struct convert *cv, struct entity *e, unsigned int depth)
{
  int composite = is_composite(cv, e, depth);
  struct measure m = {0};

  e->treatment = KEEP;
  e->in_signed |= e->mime.is_signed;
  if (!composite || e->in_signed || !mime_is_identity(e->mime.cte) ||
      (e->is_root && !e->mime.has_version))
    m = measure(cv, e->body, e->to);
  if (e->in_signed && m.needs)
    e->in_signed = 0; /* it breaks anyway */
  if (composite)
    decide_composite(cv, e, &m);
  else
    decide_leaf(cv, e, &m);
  e->add_version = e->is_root && !e->mime.has_version && m.needs && e->treatment != KEEP;
}

/* ---- writing headers */

static void put_text(struct convert *cv, const char *s)
{
  transfer_put(&cv->out, s, strlen(s));
}

static const stralloc *remake(struct convert *cv, const stralloc *f, stralloc *made,
                              int (*make)(stralloc *out, const char *field, size_t len))
{
  made->len = 0;
  if (cv->no_memory || make(made, f->s, f->len) != 0)
    cv->no_memory = 1;
  return made;
}

static void put_field(struct convert *cv)
{
  const stralloc *f = &cv->field;

  if (header_has_8bit(f->s, f->len) && !cv->only_lines) {
    if (header_is(f->s, f->len, "Content-Type") || header_is(f->s, f->len, "Content-Disposition"))
      f = remake(cv, f, &cv->made[0], parameter_field);
    f = remake(cv, f, &cv->made[1], encodedword_field);
  }
  if (f->s && fold_is_long(f->s, f->len))
    f = remake(cv, f, &cv->made[f == &cv->made[1] ? 0 : 1], fold_field);
  if (!cv->no_memory)
    transfer_put(&cv->out, f->s, f->len);
}

static void write_header(struct convert *cv, const struct entity *e)
{
  int declares = e->cte != CTE_NONE;
  int needs_end = e->body > e->header_end || e->add_version || e->add_type ||
                  (e->treatment != KEEP && e->body < e->to);
  uint64_t at = e->from;

  while (at < e->header_end && !convert_is_stopped(cv)) {
    uint64_t next = next_field(cv, at, e->header_end);
    if (e->cte != CTE_NONE &&
        header_is(cv->field.s, cv->field.len, "Content-Transfer-Encoding")) {
      if (declares)
        put_text(cv, mime_cte_field(e->cte));
      declares = 0;
    } else if (cv->is_cut || cv->field.s[0] == '-') /* "--...", folded, could become a delimiter */
      convert_hide(cv, at, next);
    else
      put_field(cv);
    at = next;
  }
  if (e->add_version)
    put_text(cv, "MIME-Version: 1.0\r\n");
  if (e->add_type)
    put_text(cv, e->is_utf8 ? "Content-Type: text/plain; charset=utf-8\r\n"
                            : "Content-Type: text/plain; charset=unknown-8bit\r\n"); /* RFC 1428 */
  if (declares)
    put_text(cv, mime_cte_field(e->cte));
  if (declares || needs_end)
    put_text(cv, "\r\n");
}

void convert_walk(struct convert *cv, struct entity *e, unsigned int depth)
{
  read_header(cv, e);
  if (convert_is_stopped(cv))
    return;
  decide(cv, e, depth);
  write_header(cv, e);
  if (!convert_is_stopped(cv))
    convert_body(cv, e, depth);
}

int sevenbit_has_field(const struct sevenbit_source *source, const char *name)
{
  struct convert *cv = calloc(1, sizeof *cv);
  int found = 0;

  if (!cv)
    return 0;
  cv->in.source = source;
  for (uint64_t at = 0; !found && at < source->size && !cv->in.failed && !cv->no_memory;) {
    at = next_field(cv, at, source->size);
    if (header_name(cv->field.s, cv->field.len) == 0 && !is_mbox_line(cv->field.s, cv->field.len))
      break;
    found = header_is(cv->field.s, cv->field.len, name);
  }
  stralloc_free(&cv->field);
  free(cv);
  return found;
}

int sevenbit_convert(const struct sevenbit_source *source, const struct sevenbit_sink *sink,
                     int only_lines)
{
  struct convert *cv = calloc(1, sizeof *cv);
  struct entity e = {.to = source->size, .is_root = 1, .mime = {.kind = MIME_TEXT}};
  int r;

  if (!cv)
    return -1;
  cv->in.source = source;
  cv->only_lines = only_lines;
  transfer_start(&cv->out, sink);
  convert_walk(cv, &e, 0);
  r = transfer_flush(&cv->out) != 0 || convert_is_stopped(cv) ? -1 : 0;
  if (cv->no_memory)
    errno = ENOMEM;
  stralloc_free(&cv->field);
  stralloc_free(&cv->made[0]);
  stralloc_free(&cv->made[1]);
  free(cv);
  return r;
}
