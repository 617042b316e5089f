/* sevenbody.c - a body, converted as was decided
 *
 * Runs in an attempt. The message is hostile. RFC 2045 6, RFC 2046 5. */
#include "deliver/convert.h"

#include "common/eightbit.h"
#include "common/header.h"

#define PREAMBLE_MAX 900 /* where its longer lines are broken */

int convert_is_stopped(const struct convert *cv)
{
  return cv->in.failed || cv->out.failed || cv->no_memory;
}

void convert_copy(struct convert *cv, uint64_t from, uint64_t to)
{
  while (from < to && !convert_is_stopped(cv)) {
    struct window_line l = window_line(&cv->in, from, to);
    transfer_put(&cv->out, l.s, l.len);
    from += l.len;
  }
}

/* a name that begins with a hyphen loses it where its line changes: that must not become a
 * delimiter */
void convert_hide(struct convert *cv, uint64_t from, uint64_t to)
{
  for (int is_first = 1; from < to && !convert_is_stopped(cv); is_first = 0) {
    struct window_line l = window_line(&cv->in, from, to);
    int changes = !cv->only_lines && header_has_8bit(l.s, l.len);
    for (size_t i = 0; changes && i < l.len; i++)
      transfer_put(&cv->out, (unsigned char)l.s[i] >= 128           ? "?"
                             : is_first && i == 0 && l.s[i] == '-' ? "*"
                                                                    : l.s + i, 1);
    if (!changes)
      transfer_put(&cv->out, l.s, l.len);
    from += l.len;
  }
}

static void write_kept(struct convert *cv, const struct entity *e, unsigned int depth)
{
  (void)depth;
  convert_copy(cv, e->body, e->to);
}

/* preamble and epilogue have no meaning: 8-bit bytes become question marks, long lines are
 * broken. A changed line must not become a delimiter. */
static void scrub(struct convert *cv, uint64_t from, uint64_t to)
{
  size_t col = 0; /* bytes of the line that came before */

  while (from < to && !convert_is_stopped(cv)) {
    struct window_line l = window_line(&cv->in, from, to);
    size_t n = window_text(&l);
    int is_long = col + n > EIGHTBIT_LINE_MAX || !l.ends;
    int changes = is_long || (header_has_8bit(l.s, n) && !cv->only_lines);
    for (size_t i = 0; i < n && changes; i++, col++) {
      int is_8bit = (unsigned char)l.s[i] >= 128 && !cv->only_lines;
      if (is_long && col > 0 && col % PREAMBLE_MAX == 0)
        transfer_put(&cv->out, "\r\n ", 3);
      transfer_put(&cv->out, is_8bit ? "?" : col == 0 && l.s[i] == '-' ? "*" : l.s + i, 1);
    }
    if (!changes)
      transfer_put(&cv->out, l.s, n);
    transfer_put(&cv->out, l.s + n, l.len - n);
    col = l.ends ? 0 : col;
    from += l.len;
  }
}

/* RFC 2046 5.1.1: the CR LF before a delimiter belongs to it, not to the part */
static void write_parts(struct convert *cv, const struct entity *e, unsigned int depth)
{
  struct delimiter d = convert_delimiter(cv, &e->mime, e->body, e->to);

  scrub(cv, e->body, d.at);
  convert_copy(cv, d.at, d.end);
  while (d.kind == 1 && !convert_is_stopped(cv)) {
    struct delimiter next = convert_delimiter(cv, &e->mime, d.end, e->to);
    struct entity part = {.from = d.end, .to = next.at, .in_signed = e->in_signed};
    if (next.kind != 0)
      part.to = next.at >= d.end + 2 ? next.at - 2 : d.end;
    part.mime.kind = e->mime.is_digest ? MIME_MESSAGE : MIME_TEXT;
    convert_walk(cv, &part, depth + 1);
    convert_copy(cv, part.to, next.end);
    d = next;
  }
  scrub(cv, d.end, e->to);
}

static void write_message(struct convert *cv, const struct entity *e, unsigned int depth)
{
  struct entity inner = {.from = e->body, .to = e->to, .is_root = 1, .in_signed = e->in_signed,
                         .mime = {.kind = MIME_TEXT}};

  convert_walk(cv, &inner, depth + 1);
}

static void write_qp(struct convert *cv, const struct entity *e, unsigned int depth)
{
  struct transfer_qp qp = {.out = &cv->out};

  (void)depth;
  for (uint64_t at = e->body; at < e->to && !convert_is_stopped(cv);) {
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
  for (uint64_t at = e->body; at < e->to && !convert_is_stopped(cv);) {
    struct window_line l = window_line(&cv->in, at, e->to);
    transfer_base64_bytes(&b, l.s, l.len);
    at += l.len;
  }
  transfer_base64_end(&b);
  if (e->to == cv->in.source->size) /* in a multipart the delimiter's CR LF follows */
    transfer_put(&cv->out, "\r\n", 2);
}

/* a piece's length without the beginning of an encoded byte at its end */
static size_t uncut(const char *s, size_t len)
{
  if (len > 1 && s[len - 1] == '=')
    return len - 1;
  return len > 2 && s[len - 2] == '=' ? len - 2 : len;
}

static void repair_qp(struct convert *cv, const struct entity *e, unsigned int depth)
{
  struct transfer_qp qp = {.out = &cv->out};

  (void)depth;
  for (uint64_t at = e->body; at < e->to && !convert_is_stopped(cv);) {
    struct window_line l = window_line(&cv->in, at, e->to);
    size_t n = window_text(&l);
    if (!l.ends)
      l.len = n = uncut(l.s, n);
    if (header_has_8bit(l.s, n) || n > EIGHTBIT_LINE_MAX || !l.ends || qp.col > 0) {
      transfer_qp_repair(&qp, l.s, n, l.ends);
      transfer_put(&cv->out, l.s + n, l.len - n);
    } else
      transfer_put(&cv->out, l.s, l.len);
    qp.col = l.ends ? 0 : qp.col;
    at += l.len;
  }
}

static void repair_base64(struct convert *cv, const struct entity *e, unsigned int depth)
{
  size_t col = 0;

  (void)depth;
  for (uint64_t at = e->body; at < e->to && !convert_is_stopped(cv);) {
    struct window_line l = window_line(&cv->in, at, e->to);
    size_t n = window_text(&l);
    if (header_has_8bit(l.s, n) || n > EIGHTBIT_LINE_MAX || !l.ends || col > 0)
      col = transfer_base64_repair(&cv->out, col, l.s, n);
    else
      transfer_put(&cv->out, l.s, n);
    transfer_put(&cv->out, l.s + n, l.len - n);
    col = l.ends ? 0 : col;
    at += l.len;
  }
}

static void (*const writers[])(struct convert *, const struct entity *, unsigned int) = {
  [KEEP] = write_kept,       [PARTS] = write_parts,   [MESSAGE] = write_message,
  [TO_QP] = write_qp,        [TO_BASE64] = write_base64,
  [REPAIR_QP] = repair_qp,   [REPAIR_BASE64] = repair_base64,
};

void convert_body(struct convert *cv, const struct entity *e, unsigned int depth)
{
  writers[e->treatment](cv, e, depth);
}
