/* report.c - the text of a report to the sender of a message
 *
 * Runs in heloise-bounce. Pure. Envelope and history are hostile. The part for people is made
 * by report_words.c. */
#include "queue/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/header.h"
#include "common/ip.h"
#include "common/log.h"
#include "common/units.h"
#include "common/xtext.h"
#include "queue/letter.h"
#include "queue/report_words.h"

/* ---- what is known of recipients */

size_t report_count(const struct report *r, enum notify_action a)
{
  size_t n = 0;

  for (size_t i = 0; i < r->e->nrcpt; i++)
    n += a == NOTIFY_NOTHING ? r->outcome[i].action != a : r->outcome[i].action == a;
  return n;
}

int report_returns_all(const struct report *r)
{
  return report_count(r, NOTIFY_FAILED) > 0 && strcmp(r->e->ret, "HDRS") != 0 &&
         r->e->body_len <= r->return_limit;
}

int report_tells_reply(const struct report_outcome *o)
{
  return o->action != NOTIFY_DELIVERED && o->action != NOTIFY_EXPANDED;
}

struct report_outcome *report_outcomes(size_t n)
{
  return calloc(n ? n : 1, sizeof(struct report_outcome));
}

static void forget(struct report_outcome *o)
{
  free(o->status);
  free(o->host);
  free(o->reply);
  o->status = o->host = o->reply = NULL;
  o->time = 0;
}

void report_outcomes_free(struct report_outcome *o, size_t n)
{
  for (size_t i = 0; o && i < n; i++)
    forget(&o[i]);
  free(o);
}

static char *unescaped(const char *s)
{
  char *plain = strdup(s);

  if (plain)
    log_unescape(plain);
  return plain;
}

int report_note(struct report *r, const struct history_line *l)
{
  struct report_outcome *o;
  uint64_t i;

  if (l->kind != 'o' || l->n < 5 || units_number(l->field[0], strlen(l->field[0]), &i) != 0 ||
      i >= r->e->nrcpt)
    return 0;
  o = &r->outcome[i];
  forget(o);
  o->time = l->time;
  o->status = unescaped(l->field[2]);
  o->host = unescaped(l->field[3]);
  o->reply = unescaped(l->field[4]);
  if (o->status && o->host && o->reply)
    return 0;
  forget(o);
  errno = ENOMEM;
  return -1;
}

/* what Status may be for an action: its class, when nothing better is known */
static const struct {
  const char *classes, *unknown;
} statuses[NOTIFY_ACTIONS] = {
  [NOTIFY_NOTHING] = {"", "5.0.0"},     [NOTIFY_FAILED] = {"45", "5.0.0"},
  [NOTIFY_DELAYED] = {"4", "4.0.0"},    [NOTIFY_DELIVERED] = {"2", "2.0.0"},
  [NOTIFY_RELAYED] = {"2", "2.0.0"},    [NOTIFY_EXPANDED] = {"2", "2.0.0"},
};

/* status-code = class "." 1*3DIGIT "." 1*3DIGIT (RFC 3463) */
static const char *status_of(const struct report_outcome *o)
{
  const char *s = o->status ? o->status : "", *unknown = statuses[o->action].unknown;
  size_t a, b;

  if (!*s || !strchr(statuses[o->action].classes, *s))
    return unknown;
  a = s[1] == '.' ? strspn(s + 2, "0123456789") : 0;
  b = a && s[2 + a] == '.' ? strspn(s + 3 + a, "0123456789") : 0;
  return a >= 1 && a <= 3 && b >= 1 && b <= 3 && s[3 + a + b] == 0 ? s : unknown;
}

/* ---- ASCII or UTF-8 (RFC 6533): the latter only when the message came with SMTPUTF8 */

static int speaks_utf8(const struct report *r)
{
  return (r->e->flags & ENVELOPE_SMTPUTF8) != 0;
}

/* whether addresses in it are not ASCII, and may stand as they are */
static int names_utf8(const struct report *r)
{
  if (speaks_utf8(r))
    for (size_t i = 0; i < r->e->nrcpt; i++)
      if (r->outcome[i].action && header_has_8bit(r->e->rcpt[i].address, strlen(r->e->rcpt[i].address)))
        return 1;
  return 0;
}

/* whether what comes back has 8-bit bytes */
static int returns_8bit(const struct report *r)
{
  return (r->e->content & (CONTENT_8BIT_HEADER | (report_returns_all(r) ? CONTENT_8BIT_BODY : 0U))) != 0;
}

static int is_to_utf8(const struct report *r)
{
  return header_has_8bit(r->to, strlen(r->to));
}

unsigned int report_flags(const struct report *r)
{
  int is_8bit = returns_8bit(r) || names_utf8(r) || is_to_utf8(r);

  return ENVELOPE_REPORT | (r->is_double ? ENVELOPE_DOUBLE : 0U) | (is_8bit ? ENVELOPE_8BITMIME : 0U) |
         (is_to_utf8(r) ? ENVELOPE_SMTPUTF8 : 0U);
}

/* ---- the parts */

/* RFC 3834: In-Reply-To and References name the message this answers */
static void add_references(struct letter *l, const struct report *r)
{
  if (!r->original || r->original->message_id.len <= 1)
    return;
  letter_add(l, "In-Reply-To: ");
  letter_line(l, r->original->message_id.s);
  letter_add(l, "References: ");
  letter_line(l, r->original->message_id.s);
}

static void add_header(struct letter *l, const struct report *r)
{
  struct letter to = {.out = l->out, .is_utf8 = 1};

  letter_add(l, "Message-ID: <");
  letter_add(l, r->message_id);
  letter_add(l, "@");
  letter_add(l, r->hostname);
  letter_line(l, ">");
  letter_date(l, "Date: ", r->now);
  letter_add(l, "From: Mail Delivery System <MAILER-DAEMON@");
  letter_add(l, r->hostname);
  letter_line(l, ">");
  letter_add(l, "To: <");
  letter_plain(&to, r->to, strlen(r->to));
  letter_line(l, ">");
  l->failed |= to.failed;
  letter_field(l, "Subject: ", report_words_subject(r));
  add_references(l, r);
  letter_line(l, "Auto-Submitted: auto-replied");
  letter_line(l, "MIME-Version: 1.0");
  letter_line(l, "Content-Type: multipart/report; report-type=delivery-status;");
  letter_add(l, "\tboundary=\"");
  letter_add(l, r->boundary);
  letter_line(l, "\"");
  if (returns_8bit(r) || names_utf8(r))
    letter_line(l, "Content-Transfer-Encoding: 8bit");
  letter_line(l, "");
}

/* the header of a part, with its empty line */
static void begin_part(struct letter *l, const struct report *r, const char *type, int is_8bit)
{
  letter_add(l, "\r\n--");
  letter_line(l, r->boundary);
  letter_add(l, "Content-Type: ");
  letter_line(l, type);
  if (is_8bit)
    letter_line(l, "Content-Transfer-Encoding: 8bit");
  letter_line(l, "");
}

/* xtext, decoded */
static void add_xtext(struct letter *l, const char *name, const char *s)
{
  stralloc plain = {0};

  if (xtext_decode(s, strlen(s), &plain) == 0) {
    letter_add(l, name);
    letter_plain(l, plain.s, plain.len);
    letter_add(l, "\r\n");
  }
  stralloc_free(&plain);
}

/* from whom the message came: the name that was said, if it is one, and the address. c is
 * "ADDRESS:PORT" for a client of SMTP, something else for all others */
static void add_client(struct letter *l, const struct report *r)
{
  static const char in_names[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
  const char *c = r->e->client, *port = strrchr(c, ':'), *helo = r->e->helo;
  size_t len = port ? (size_t)(port - c) : 0;

  if (!strstr(r->e->protocol, "SMTP") || len == 0 || strspn(c, in_names) != strlen(c))
    return;
  letter_add(l, "Received-From-MTA: dns; ");
  if (*helo && strspn(helo, in_names) == strlen(helo) && strlen(helo) <= 255)
    letter_add(l, helo);
  else
    letter_add(l, "unknown");
  letter_add(l, " (");
  letter_plain(l, c, len);
  letter_line(l, ")");
}

/* per-message-fields, RFC 3464 2.2 */
static void add_message_fields(struct letter *l, const struct report *r)
{
  if (*r->e->envid)
    add_xtext(l, "Original-Envelope-Id: ", r->e->envid);
  letter_add(l, "Reporting-MTA: dns; ");
  letter_line(l, r->hostname);
  add_client(l, r);
  letter_date(l, "Arrival-Date: ", r->e->created);
}

static void add_original_recipient(struct letter *l, const char *orcpt)
{
  const char *semicolon = strchr(orcpt, ';');

  if (!semicolon)
    return;
  letter_add(l, "Original-Recipient: ");
  letter_plain(l, orcpt, (size_t)(semicolon - orcpt));
  add_xtext(l, "; ", semicolon + 1);
}

static void add_final_recipient(struct letter *l, const char *address)
{
  int is_utf8 = header_has_8bit(address, strlen(address));
  stralloc ascii = {0};

  letter_add(l, is_utf8 ? "Final-Recipient: utf-8; " : "Final-Recipient: rfc822; ");
  if (!is_utf8 || l->is_utf8)
    letter_plain(l, address, strlen(address));
  else if (xtext_ascii(&ascii, address, strlen(address)) == 0)
    letter_plain(l, ascii.s, ascii.len);
  letter_add(l, "\r\n");
  stralloc_free(&ascii);
}

/* the host that spoke last: in "NAME [ADDRESS] said: ..." the one who said it, with whatever
 * stands before; its length */
static size_t remote_host(const struct report_outcome *o, const char *said, const char **host)
{
  const char *bracket = said ? memrchr(o->reply, '[', (size_t)(said - o->reply)) : NULL;

  if (bracket && bracket - o->reply >= 2 && bracket[-1] == ' ') {
    *host = memrchr(o->reply, ' ', (size_t)(bracket - 1 - o->reply));
    *host = *host ? *host + 1 : o->reply;
    return (size_t)(bracket - 1 - *host);
  }
  *host = o->host ? o->host : "";
  return strcspn(*host, " ");
}

static void add_remote(struct letter *l, const char *host, size_t len)
{
  struct ip ip;
  int is_address = ip_parse(host, len, &ip) == 0;

  if (len == 0)
    return;
  letter_add(l, is_address ? "Remote-MTA: dns; [" : "Remote-MTA: dns; ");
  letter_plain(l, host, len);
  letter_line(l, is_address ? "]" : "");
}

/* Remote-MTA and Diagnostic-Code: "HOST said: CODE TEXT" is a peer's, all else is ours; what we
 * say of mailboxes and aliases is no one's business but the administrator's */
static void add_diagnosis(struct letter *l, const struct report_outcome *o)
{
  const char *reply = o->reply ? o->reply : "", *said = strstr(reply, " said: "), *host;
  size_t len;

  if (!report_tells_reply(o))
    return;
  len = remote_host(o, said, &host);
  add_remote(l, host, len);
  if (said && said[7] >= '2' && said[7] <= '5')
    letter_field(l, "Diagnostic-Code: smtp; ", said + 7);
  else if (*reply)
    letter_field(l, "Diagnostic-Code: x-heloise; ", reply);
}

/* per-recipient-fields, RFC 3464 2.3 */
static void add_recipient_fields(struct letter *l, const struct report *r, size_t i)
{
  const struct report_outcome *o = &r->outcome[i];

  letter_add(l, "\r\n");
  add_original_recipient(l, r->e->rcpt[i].orcpt);
  add_final_recipient(l, r->e->rcpt[i].address);
  letter_add(l, "Action: ");
  letter_line(l, notify_word(o->action));
  letter_add(l, "Status: ");
  letter_line(l, status_of(o));
  add_diagnosis(l, o);
  if (o->time)
    letter_date(l, "Last-Attempt-Date: ", o->time);
  letter_field(l, "Final-Log-ID: ", r->e->id);
  if (o->action == NOTIFY_DELAYED)
    letter_date(l, "Will-Retry-Until: ", o->until);
}

/* the last part is what comes back: its type tells what, and in which character set its header is */
static const char *returned_type(const struct report *r)
{
  static const char *const types[2][2] = {{"text/rfc822-headers", "message/rfc822"},
                                          {"message/global-headers", "message/global"}};
  int is_global = speaks_utf8(r) && (r->e->content & CONTENT_8BIT_HEADER);

  return types[is_global][report_returns_all(r)];
}

int report_begin(stralloc *out, const struct report *r)
{
  int is_utf8 = names_utf8(r);
  struct letter l = {.out = out};

  add_header(&l, r);
  l.is_utf8 = is_utf8;
  begin_part(&l, r, is_utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", is_utf8);
  report_words(&l, r);
  begin_part(&l, r, is_utf8 ? "message/global-delivery-status" : "message/delivery-status", is_utf8);
  add_message_fields(&l, r);
  for (size_t i = 0; i < r->e->nrcpt; i++)
    if (r->outcome[i].action)
      add_recipient_fields(&l, r, i);
  begin_part(&l, r, returned_type(r), returns_8bit(r));
  if (l.failed)
    errno = ENOMEM;
  return l.failed ? -1 : 0;
}

int report_end(stralloc *out, const struct report *r)
{
  struct letter l = {.out = out};

  letter_add(&l, "\r\n--");
  letter_add(&l, r->boundary);
  letter_line(&l, "--");
  if (l.failed)
    errno = ENOMEM;
  return l.failed ? -1 : 0;
}
