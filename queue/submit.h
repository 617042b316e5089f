/* submit.h - a message as users write it becomes one as the queue wants it
 *
 * Pure. Line ends, the header's end, addresses in header fields, missing fields. All of it
 * is the caller's text, and hostile. */
#ifndef QUEUE_SUBMIT_H
#define QUEUE_SUBMIT_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#define SUBMIT_HEADER_MAX (1024 * 1024)

/* ---- text to wire form: LF, CR LF and CR each become CR LF; a NUL becomes a space */

struct submit_text {
  int dot_is_text; /* a line with a single dot does not end the message */
  int in_line, after_cr, after_dot;
  int ended; /* by a dot: the rest of the input is not read */
};
/* appends what s becomes to out: 0, or -1 (ENOMEM). At the end of the input: s NULL. */
int submit_text(struct submit_text *t, stralloc *out, const char *s, size_t len);

/* ---- the header */

/* looks for the end of the header in text in wire form. 1: header_len bytes are fields, the
 * body begins at body_at. 0: more text is needed. is_all: there is no more. A line "From "
 * in front is taken off: header_at. */
struct submit_parts {
  size_t header_at, header_len, body_at;
};
int submit_split(const char *s, size_t len, int is_all, struct submit_parts *p);

/* calls f for each address of an address list (RFC 5322 3.4): the bare address, comments,
 * names and groups taken off, until it returns non-zero. 0, or f's value. */
int submit_addresses(const char *s, size_t len, int (*f)(void *arg, const char *s, size_t len),
                     void *arg);

/* with -t: calls f for each field that names recipients: To, Cc, Bcc; or, if there are any,
 * the Resent- ones */
int submit_recipient_fields(const char *header, size_t len,
                            int (*f)(void *arg, const char *value, size_t len), void *arg);

struct submit_origin {
  const char *address, *full_name; /* for From, if it is missing; full_name may be "" */
  const char *message_id; /* without brackets */
  uint64_t now;
  int removes_bcc, is_gateway /* adds nothing */;
};
/* appends the header with what is missing added, and the empty line: 0, or -1 (ENOMEM) */
int submit_header(stralloc *out, const char *header, size_t len, const struct submit_origin *o);

#endif
