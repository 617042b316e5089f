/* report.c - the text of a failure report
 *
 * Runs in heloise-bounce. Pure. Envelope and history are hostile. */
#include "queue/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/units.h"

#define LINE_WIDTH 76
#define WORD_MAX 400 /* a longer word is cut over lines: RFC 5322 2.1.1 allows 998 */
#define VALUE_MAX 2000

/* ---- text being made; the first failure sticks */

struct text {
  stralloc *out;
  int failed;
};

static void add(struct text *t, const char *s)
{
  if (!stralloc_cats(t->out, s))
    t->failed = 1;
}

static void add_line(struct text *t, const char *s)
{
  add(t, s);
  add(t, "\r\n");
}

/* one line of printable ASCII, whatever s holds */
static void add_plain(struct text *t, const char *s, size_t len)
{
  for (size_t i = 0; i < len && i < VALUE_MAX; i++) {
    char c = s[i] >= 32 && s[i] < 127 ? s[i] : '?';
    if (!stralloc_append(t->out, &c))
      t->failed = 1;
  }
}

/* words of s from column col on, as lines that begin with indent */
static void add_folded(struct text *t, size_t col, const char *indent, const char *s)
{
  size_t left = strnlen(s, VALUE_MAX);

  while (left > 0) {
    size_t blanks = strspn(s, " \t"), n;
    if (blanks > left)
      blanks = left;
    s += blanks;
    left -= blanks;
    n = strcspn(s, " \t");
    n = n < left ? n : left;
    n = n < WORD_MAX ? n : WORD_MAX;
    if (n == 0)
      break;
    if (col + 1 + n > LINE_WIDTH && col > strlen(indent)) {
      add(t, "\r\n");
      add(t, indent);
      col = strlen(indent);
    } else if (blanks) {
      add(t, " ");
      col++;
    }
    add_plain(t, s, n);
    s += n;
    left -= n;
    col += n;
  }
  add(t, "\r\n");
}

static void add_field(struct text *t, const char *name, const char *value)
{
  add(t, name);
  add_folded(t, strlen(name), "  ", value);
}

static void add_date(struct text *t, const char *name, uint64_t when)
{
  add(t, name);
  if (units_format_date(t->out, when) != 0)
    t->failed = 1;
  add(t, "\r\n");
}

/* ---- what is known of a recipient */

int report_is_wanted(const struct envelope *e, size_t i)
{
  const char *notify = e->rcpt[i].notify;

  return e->rcpt[i].status == RCPT_FAILED && (*notify == 0 || strstr(notify, "FAILURE") != NULL);
}

int report_returns_all(const struct envelope *e)
{
  if (strcmp(e->ret, "HDRS") == 0)
    return 0;
  return strcmp(e->ret, "FULL") == 0 || e->body_len <= REPORT_FULL_MAX;
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
  memset(o, 0, sizeof *o);
}

void report_outcomes_free(struct report_outcome *o, size_t n)
{
  for (size_t i = 0; o && i < n; i++)
    forget(&o[i]);
  free(o);
}

static int hex(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* undoes log_escape() where a printable character comes out; the rest stays escaped */
static char *unescape(const char *s)
{
  char *out = strdup(s), *p = out;

  while (out && *s) {
    int high = s[0] == '\\' && s[1] == 'x' ? hex(s[2]) : -1, low = high >= 0 ? hex(s[3]) : -1;
    int c = low >= 0 ? high * 16 + low : 0;
    if (c >= 32 && c < 127) {
      *p++ = (char)c;
      s += 4;
    } else
      *p++ = *s++;
  }
  if (out)
    *p = 0;
  return out;
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
  o->status = unescape(l->field[2]);
  o->host = unescape(l->field[3]);
  o->reply = unescape(l->field[4]);
  if (o->status && o->host && o->reply)
    return 0;
  forget(o);
  errno = ENOMEM;
  return -1;
}

/* status-code = "5" "." 1*3DIGIT "." 1*3DIGIT (RFC 3463); when it is none: 5.0.0 */
static const char *status_of(const struct report_outcome *o)
{
  const char *s = o->status ? o->status : "";
  size_t a, b;

  if (s[0] != '4' && s[0] != '5')
    return "5.0.0";
  a = s[1] == '.' ? strspn(s + 2, "0123456789") : 0;
  b = a && s[2 + a] == '.' ? strspn(s + 3 + a, "0123456789") : 0;
  return a >= 1 && a <= 3 && b >= 1 && b <= 3 && s[3 + a + b] == 0 ? s : "5.0.0";
}

/* ---- the parts */

static void add_header(struct text *t, const struct report *r)
{
  add(t, "Message-ID: <");
  add(t, r->boundary);
  add(t, "@");
  add(t, r->hostname);
  add_line(t, ">");
  add_date(t, "Date: ", r->now);
  add(t, "From: Mail Delivery System <MAILER-DAEMON@");
  add(t, r->hostname);
  add_line(t, ">");
  add(t, "To: <");
  add_plain(t, r->to, strlen(r->to));
  add_line(t, ">");
  add_line(t, r->is_double ? "Subject: A message without a sender could not be delivered"
                           : "Subject: Your message could not be delivered");
  add_line(t, "Auto-Submitted: auto-replied");
  add_line(t, "MIME-Version: 1.0");
  add_line(t, "Content-Type: multipart/report; report-type=delivery-status;");
  add(t, "\tboundary=\"");
  add(t, r->boundary);
  add_line(t, "\"");
  if (r->e->content & (CONTENT_8BIT_HEADER | CONTENT_8BIT_BODY))
    add_line(t, "Content-Transfer-Encoding: 8bit");
  add_line(t, "");
}

static void begin_part(struct text *t, const struct report *r, const char *type)
{
  add(t, "\r\n--");
  add_line(t, r->boundary);
  add_line(t, type);
}

static void explain_recipient(struct text *t, const struct report *r, size_t i)
{
  const struct report_outcome *o = &r->outcome[i];
  const char *reply = o->reply && *o->reply ? o->reply : "no reason is recorded";

  add(t, "\r\n  <");
  add_plain(t, r->e->rcpt[i].address, strlen(r->e->rcpt[i].address));
  add_line(t, ">");
  add(t, "    ");
  add_folded(t, 4, "    ", reply);
}

static int add_sentence(void *arg, int depth, const char *sentence)
{
  struct text *t = arg;
  const char *indent = depth ? "      " : "  ";
  char *plain = unescape(sentence);

  if (!plain)
    t->failed = 1;
  else {
    add(t, depth ? "    " : "  ");
    add_folded(t, depth ? 4 : 2, indent, plain);
  }
  free(plain);
  return t->failed ? -1 : 0;
}

/* the table of attempts, as `heloise queue why` shows it */
static void add_story(struct text *t, const struct report *r)
{
  const struct story_teller teller = {.e = r->e, .is_wanted = report_is_wanted,
                                      .attempts = REPORT_ATTEMPTS, .say = add_sentence, .arg = t};

  if (!r->story || r->story->n == 0)
    return;
  add_line(t, "\r\nWhat was tried:\r\n");
  story_tell(r->story, &teller);
}

static void add_explanation(struct text *t, const struct report *r)
{
  begin_part(t, r, "Content-Type: text/plain; charset=us-ascii");
  add(t, "\r\nThis is the mail system at ");
  add(t, r->hostname);
  add_line(t, ".\r\n");
  add_line(t, r->is_double
                ? "A message that has no sender to report to, for instance a failure report,\r\n"
                  "could not be delivered to the recipients below. You get this as postmaster."
                : "Your message could not be delivered to the recipients below. Nothing more\r\n"
                  "will be tried for them. Other recipients, if there are any, are not affected.");
  for (size_t i = 0; i < r->e->nrcpt; i++)
    if (report_is_wanted(r->e, i))
      explain_recipient(t, r, i);
  add_story(t, r);
  add_line(t, "\r\nA text that begins with a host's name and \"said:\" is what that host\r\n"
              "answered; its administrators know more about it. The message was sent on");
  if (units_format_date(t->out, r->e->created) != 0)
    t->failed = 1;
  add(t, " and had the queue id ");
  add_plain(t, r->e->id, strlen(r->e->id));
  add_line(t, " here.");
  add_line(t, report_returns_all(r->e) ? "It is attached." : "Its header is attached.");
}

/* xtext, decoded, as the value of a field */
static void add_xtext(struct text *t, const char *name, const char *s)
{
  stralloc plain = {0};

  if (address_unxtext(s, strlen(s), &plain) == 0) {
    add(t, name);
    add_plain(t, plain.s, plain.len);
    add(t, "\r\n");
  }
  stralloc_free(&plain);
}

/* per-message-fields, RFC 3464 2.2 */
static void add_message_fields(struct text *t, const struct report *r)
{
  add(t, "Reporting-MTA: dns; ");
  add_line(t, r->hostname);
  if (*r->e->envid)
    add_xtext(t, "Original-Envelope-Id: ", r->e->envid);
  add_field(t, "X-Heloise-Queue-Id: ", r->e->id);
  add_date(t, "Arrival-Date: ", r->e->created);
}

static void add_original_recipient(struct text *t, const char *orcpt)
{
  const char *semicolon = strchr(orcpt, ';');

  if (!semicolon)
    return;
  add(t, "Original-Recipient: ");
  add_plain(t, orcpt, (size_t)(semicolon - orcpt));
  add_xtext(t, "; ", semicolon + 1);
}

/* Remote-MTA and Diagnostic-Code: "HOST said: CODE TEXT" is a peer's, all else is ours */
static void add_diagnosis(struct text *t, const struct report_outcome *o)
{
  const char *reply = o->reply ? o->reply : "", *said = strstr(reply, " said: ");
  size_t host = o->host ? strcspn(o->host, " ") : 0;

  if (host > 0) {
    add(t, "Remote-MTA: dns; ");
    add_plain(t, o->host, host);
    add(t, "\r\n");
  }
  if (said && said[7] >= '2' && said[7] <= '5')
    add_field(t, "Diagnostic-Code: smtp; ", said + 7);
  else if (*reply)
    add_field(t, "Diagnostic-Code: x-heloise; ", reply);
}

/* per-recipient-fields, RFC 3464 2.3 */
static void add_recipient_fields(struct text *t, const struct report *r, size_t i)
{
  const struct envelope_rcpt *rcpt = &r->e->rcpt[i];
  const struct report_outcome *o = &r->outcome[i];

  add(t, "\r\n");
  add_original_recipient(t, rcpt->orcpt);
  add(t, "Final-Recipient: rfc822; ");
  add_plain(t, rcpt->address, strlen(rcpt->address));
  add(t, "\r\n");
  add_line(t, "Action: failed");
  add(t, "Status: ");
  add_line(t, status_of(o));
  add_diagnosis(t, o);
  if (o->time)
    add_date(t, "Last-Attempt-Date: ", o->time);
}

int report_begin(stralloc *out, const struct report *r)
{
  struct text t = {.out = out};
  int all = report_returns_all(r->e);
  unsigned int eight = CONTENT_8BIT_HEADER | (all ? CONTENT_8BIT_BODY : 0);

  add_header(&t, r);
  add_explanation(&t, r);
  begin_part(&t, r, "Content-Type: message/delivery-status\r\n");
  add_message_fields(&t, r);
  for (size_t i = 0; i < r->e->nrcpt; i++)
    if (report_is_wanted(r->e, i))
      add_recipient_fields(&t, r, i);
  begin_part(&t, r, all ? "Content-Type: message/rfc822" : "Content-Type: text/rfc822-headers");
  if (r->e->content & eight)
    add_line(&t, "Content-Transfer-Encoding: 8bit");
  add(&t, "\r\n");
  if (t.failed)
    errno = ENOMEM;
  return t.failed ? -1 : 0;
}

int report_end(stralloc *out, const struct report *r)
{
  struct text t = {.out = out};

  add(&t, "\r\n--");
  add(&t, r->boundary);
  add_line(&t, "--");
  if (t.failed)
    errno = ENOMEM;
  return t.failed ? -1 : 0;
}
