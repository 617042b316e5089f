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

#include <stralloc.h>

#include "common/header.h"
#include "deliver/encodedword.h"
#include "deliver/mime.h"
#include "deliver/transfer.h"
#include "deliver/window.h"

#define DEPTH_MAX 32
#define FIELD_MAX 65536 /* a longer header field is copied as it is */
#define LINE_MAX_7BIT 998

struct convert {
  struct window in;
  struct transfer_out out;
  struct transfer_out counter;
  stralloc field, encoded; /* bound: FIELD_MAX, and its encoded words */
  int is_cut;              /* the field at hand is longer than FIELD_MAX */
  int no_memory;
};

enum treatment { KEEP, PARTS, MESSAGE, TO_QP, TO_BASE64, REPAIR_QP, REPAIR_BASE64 };

struct entity {
  uint64_t from, header_end, body, to; /* header_end == body: no empty line between */
  int is_root;                         /* a whole message, not a body part */
  struct mime mime;
  /* what to do with it */
  enum treatment treatment;
  enum mime_cte cte; /* the encoding to declare, CTE_NONE: leave the field alone */
  int add_type, add_version;
};

struct measure {
  int has_8bit, needs;
  uint64_t size, qp_size;
};

static void walk(struct convert *cv, struct entity *e, unsigned int depth);

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
    if (l.len == 0 || (header_name(l.s, l.len) == 0 &&
                       !(at == e->from && l.len > 5 && memcmp(l.s, "From ", 5) == 0)))
      return;
    at = next_field(cv, at, e->to);
    if (cv->no_memory || cv->in.failed)
      return;
    mime_field(&e->mime, cv->field.s, cv->field.len);
  }
}

struct delimiter {
  uint64_t at, end;
  int kind; /* 0 none found, 1, 2 closing */
};

/* the next delimiter line at or after `at`, which begins a line */
static struct delimiter find_delimiter(struct convert *cv, const struct mime *m, uint64_t at,
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
    line += n;
    if (line > LINE_MAX_7BIT || has_odd_byte(l.s, n))
      m.needs = 1;
    transfer_qp_piece(&qp, l.s, n, l.ends);
    if (n < l.len)
      transfer_qp_line(&qp);
    if (l.ends)
      line = 0;
    from += l.len;
  }
  m.needs |= m.has_8bit;
  m.qp_size = cv->counter.count;
  return m;
}

/* ---- deciding */

static int is_composite(struct convert *cv, const struct entity *e, unsigned int depth)
{
  if (depth >= DEPTH_MAX || !mime_is_identity(e->mime.cte))
    return 0;
  if (e->mime.kind == MIME_MULTIPART)
    return find_delimiter(cv, &e->mime, e->body, e->to).kind == 1;
  return e->mime.kind == MIME_MESSAGE;
}

/* quoted-printable or base64, whichever is smaller; line ends of binary data are data */
static enum treatment encoding_for(const struct entity *e, const struct measure *m)
{
  if (e->mime.cte == CTE_BINARY && e->mime.kind != MIME_TEXT)
    return TO_BASE64;
  return m->qp_size <= transfer_base64_size(m->size) ? TO_QP : TO_BASE64;
}

static void decide_leaf(struct entity *e, const struct measure *m)
{
  int claims_8bit = e->mime.cte == CTE_8BIT || e->mime.cte == CTE_BINARY;

  if (!mime_is_identity(e->mime.cte)) {
    if (m->has_8bit)
      e->treatment = e->mime.cte == CTE_QP ? REPAIR_QP : REPAIR_BASE64;
    return;
  }
  if (m->needs) {
    e->treatment = encoding_for(e, m);
    e->cte = e->treatment == TO_QP ? CTE_QP : CTE_BASE64;
    e->add_type = m->has_8bit && !e->mime.has_type;
  } else if (claims_8bit)
    e->cte = CTE_7BIT;
}

static void decide(struct convert *cv, struct entity *e, unsigned int depth)
{
  int composite = is_composite(cv, e, depth);
  struct measure m = {0};

  e->treatment = KEEP;
  if (!composite || (e->is_root && !e->mime.has_version))
    m = measure(cv, e->body, e->to);
  if (composite) {
    e->treatment = e->mime.kind == MIME_MULTIPART ? PARTS : MESSAGE;
    if (e->mime.cte == CTE_8BIT || e->mime.cte == CTE_BINARY)
      e->cte = CTE_7BIT;
  } else
    decide_leaf(e, &m);
  e->add_version = e->is_root && !e->mime.has_version && m.needs && e->treatment != KEEP;
}

/* ---- writing headers */

static void put_text(struct convert *cv, const char *s)
{
  transfer_put(&cv->out, s, strlen(s));
}

static int is_stopped(const struct convert *cv)
{
  return cv->in.failed || cv->out.failed || cv->no_memory;
}

static void copy(struct convert *cv, uint64_t from, uint64_t to)
{
  while (from < to && !is_stopped(cv)) {
    struct window_line l = window_line(&cv->in, from, to);
    transfer_put(&cv->out, l.s, l.len);
    from += l.len;
  }
}

/* a field named "--..." could become a delimiter: it stays */
static void put_field(struct convert *cv)
{
  if (cv->field.s[0] == '-' || !header_has_8bit(cv->field.s, cv->field.len)) {
    transfer_put(&cv->out, cv->field.s, cv->field.len);
    return;
  }
  cv->encoded.len = 0;
  if (encodedword_field(&cv->encoded, cv->field.s, cv->field.len) != 0)
    cv->no_memory = 1;
  else
    transfer_put(&cv->out, cv->encoded.s, cv->encoded.len);
}

static void write_header(struct convert *cv, const struct entity *e)
{
  int declares = e->cte != CTE_NONE;
  int needs_end = e->body > e->header_end || e->add_version || e->add_type ||
                  (e->treatment != KEEP && e->body < e->to);
  uint64_t at = e->from;

  while (at < e->header_end && !is_stopped(cv)) {
    uint64_t next = next_field(cv, at, e->header_end);
    if (e->cte != CTE_NONE &&
        header_is(cv->field.s, cv->field.len, "Content-Transfer-Encoding")) {
      if (declares)
        put_text(cv, mime_cte_field(e->cte));
      declares = 0;
    } else if (cv->is_cut)
      copy(cv, at, next);
    else
      put_field(cv);
    at = next;
  }
  if (e->add_version)
    put_text(cv, "MIME-Version: 1.0\r\n");
  if (e->add_type)
    put_text(cv, "Content-Type: text/plain; charset=unknown-8bit\r\n");
  if (declares)
    put_text(cv, mime_cte_field(e->cte));
  if (declares || needs_end)
    put_text(cv, "\r\n");
}

/* ---- writing bodies */

static void write_kept(struct convert *cv, const struct entity *e, unsigned int depth)
{
  (void)depth;
  copy(cv, e->body, e->to);
}

/* preamble and epilogue have no meaning: 8-bit bytes become question marks. A changed line
 * must not become a delimiter. */
static void scrub(struct convert *cv, uint64_t from, uint64_t to)
{
  while (from < to && !is_stopped(cv)) {
    struct window_line l = window_line(&cv->in, from, to);
    int changes = header_has_8bit(l.s, l.len);
    for (size_t i = 0; i < l.len && changes; i++)
      if ((unsigned char)l.s[i] >= 128)
        transfer_put(&cv->out, "?", 1);
      else
        transfer_put(&cv->out, i == 0 && l.s[i] == '-' ? "*" : l.s + i, 1);
    if (!changes)
      transfer_put(&cv->out, l.s, l.len);
    from += l.len;
  }
}

/* RFC 2046 5.1.1: the CR LF before a delimiter belongs to it, not to the part */
static void write_parts(struct convert *cv, const struct entity *e, unsigned int depth)
{
  struct delimiter d = find_delimiter(cv, &e->mime, e->body, e->to);

  scrub(cv, e->body, d.at);
  copy(cv, d.at, d.end);
  while (d.kind == 1 && !is_stopped(cv)) {
    struct delimiter next = find_delimiter(cv, &e->mime, d.end, e->to);
    struct entity part = {.from = d.end, .to = next.at};
    if (next.kind != 0)
      part.to = next.at >= d.end + 2 ? next.at - 2 : d.end;
    part.mime.kind = e->mime.is_digest ? MIME_MESSAGE : MIME_TEXT;
    walk(cv, &part, depth + 1);
    copy(cv, part.to, next.end);
    d = next;
  }
  scrub(cv, d.end, e->to);
}

static void write_message(struct convert *cv, const struct entity *e, unsigned int depth)
{
  struct entity inner = {.from = e->body, .to = e->to, .is_root = 1, .mime = {.kind = MIME_TEXT}};

  walk(cv, &inner, depth + 1);
}

static void write_qp(struct convert *cv, const struct entity *e, unsigned int depth)
{
  struct transfer_qp qp = {.out = &cv->out};

  (void)depth;
  for (uint64_t at = e->body; at < e->to && !is_stopped(cv);) {
    struct window_line l = window_line(&cv->in, at, e->to);
    size_t n = window_text(&l);
    transfer_qp_piece(&qp, l.s, n, l.ends);
    if (n < l.len)
      transfer_qp_line(&qp);
    at += l.len;
  }
}

static void write_base64(struct convert *cv, const struct entity *e, unsigned int depth)
{
  struct transfer_base64 b = {.out = &cv->out};

  (void)depth;
  for (uint64_t at = e->body; at < e->to && !is_stopped(cv);) {
    struct window_line l = window_line(&cv->in, at, e->to);
    transfer_base64_bytes(&b, l.s, l.len);
    at += l.len;
  }
  transfer_base64_end(&b);
  if (e->to == cv->in.source->size) /* in a multipart the delimiter's CR LF follows */
    put_text(cv, "\r\n");
}

static void repair_qp(struct convert *cv, const struct entity *e, unsigned int depth)
{
  struct transfer_qp qp = {.out = &cv->out};

  (void)depth;
  for (uint64_t at = e->body; at < e->to && !is_stopped(cv);) {
    struct window_line l = window_line(&cv->in, at, e->to);
    size_t n = window_text(&l);
    if (header_has_8bit(l.s, n)) {
      transfer_qp_repair(&qp, l.s, n, l.ends);
      transfer_put(&cv->out, l.s + n, l.len - n);
    } else
      transfer_put(&cv->out, l.s, l.len);
    qp.col = l.ends ? 0 : qp.col;
    at += l.len;
  }
}

/* decoders skip what is not base64 (RFC 2045 6.8): in lines with such bytes so do we */
static void repair_base64(struct convert *cv, const struct entity *e, unsigned int depth)
{
  (void)depth;
  for (uint64_t at = e->body; at < e->to && !is_stopped(cv);) {
    struct window_line l = window_line(&cv->in, at, e->to);
    size_t n = window_text(&l);
    int changes = header_has_8bit(l.s, n);
    for (size_t i = 0; i < n && changes; i++)
      if ((l.s[i] >= '0' && l.s[i] <= '9') || (l.s[i] >= 'A' && l.s[i] <= 'Z') ||
          (l.s[i] >= 'a' && l.s[i] <= 'z') || l.s[i] == '+' || l.s[i] == '/' || l.s[i] == '=')
        transfer_put(&cv->out, l.s + i, 1);
    transfer_put(&cv->out, changes ? l.s + n : l.s, changes ? l.len - n : l.len);
    at += l.len;
  }
}

static void (*const writers[])(struct convert *, const struct entity *, unsigned int) = {
  [KEEP] = write_kept,       [PARTS] = write_parts,   [MESSAGE] = write_message,
  [TO_QP] = write_qp,        [TO_BASE64] = write_base64,
  [REPAIR_QP] = repair_qp,   [REPAIR_BASE64] = repair_base64,
};

/* reads one entity, decides, and writes it */
static void walk(struct convert *cv, struct entity *e, unsigned int depth)
{
  read_header(cv, e);
  if (is_stopped(cv))
    return;
  decide(cv, e, depth);
  write_header(cv, e);
  if (!is_stopped(cv))
    writers[e->treatment](cv, e, depth);
}

int sevenbit_convert(const struct sevenbit_source *source, const struct sevenbit_sink *sink)
{
  struct convert *cv = calloc(1, sizeof *cv);
  struct entity e = {.to = source->size, .is_root = 1, .mime = {.kind = MIME_TEXT}};
  int r;

  if (!cv)
    return -1;
  cv->in.source = source;
  transfer_start(&cv->out, sink);
  walk(cv, &e, 0);
  r = transfer_flush(&cv->out) != 0 || is_stopped(cv) ? -1 : 0;
  if (cv->no_memory)
    errno = ENOMEM;
  stralloc_free(&cv->field);
  stralloc_free(&cv->encoded);
  free(cv);
  return r;
}
