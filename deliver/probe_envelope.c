/* probe_envelope.c - with a message a probe goes on to MAIL and RCPT: for whom, and what became of it
 *
 * Runs in `heloise probe`. Addresses come from its caller or the queue, replies from strangers. */
#include "deliver/probe_envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address.h"
#include "common/json.h"
#include "common/log.h"
#include "common/verdict.h"

/* ---- for whom */

/* an address in normal form, kept for good; NULL after a complaint */
static const char *take_address(const char *s, int allow_null, struct probe_message *m)
{
  struct address a = {0};
  const char *why = "out of memory";
  char *copy = NULL;

  if (address_parse(s, strlen(s), allow_null, &a, &why) == 0) {
    copy = strdup(a.text.len ? a.text.s : "");
    m->e.flags |= a.is_utf8 ? ENVELOPE_SMTPUTF8 : 0U;
  }
  if (!copy)
    fprintf(stderr, "heloise: probe: an address: %s\n", why);
  stralloc_free(&a.text);
  return copy;
}

static int take_recipients(const struct probe_envelope *e, struct probe_message *m)
{
  struct envelope_rcpt *r = calloc(e->n, sizeof *r);

  free(m->recipient);
  m->recipient = calloc(e->n, sizeof *m->recipient);
  m->n = 0;
  if (!r || !m->recipient)
    return EXIT_OSERR;
  for (; m->n < e->n; m->n++) {
    r[m->n].notify = r[m->n].orcpt = "";
    r[m->n].address = take_address(e->recipient[m->n], 0, m);
    if (!r[m->n].address)
      return EXIT_USAGE;
    m->recipient[m->n].rcpt = &r[m->n];
  }
  return 0;
}

static void keep_domain(const char *domain, struct probe_message *m)
{
  size_t kept = 0;

  for (size_t i = 0; i < m->n; i++)
    if (strcasecmp(envelope_domain(m->recipient[i].rcpt->address), domain) == 0)
      m->recipient[kept++] = m->recipient[i];
  m->n = kept;
}

int probe_envelope_set(const struct probe_envelope *e, const char *domain, struct probe_message *m)
{
  if (e->sender && !(m->e.sender = take_address(e->sender, 1, m)))
    return EXIT_USAGE;
  if (e->n > 0)
    return take_recipients(e, m);
  if (domain)
    keep_domain(domain, m);
  return 0;
}

void probe_envelope_reset(struct probe_message *m)
{
  for (size_t i = 0; i < m->n; i++) {
    struct recipient *r = &m->recipient[i];
    r->is_settled = r->is_accepted = r->was_answered = 0;
    r->finals = 0;
    r->status[0] = 0;
    r->text.len = 0;
  }
}

/* ---- what became of it */

/* a text of some length as a string; bound: a reply */
static const char *string_of(const stralloc *s)
{
  static stralloc buf;

  return stralloc_copy(&buf, s) && stralloc_0(&buf) ? buf.s : "";
}

static void print_escaped(const char *s)
{
  stralloc out = {0};

  if (log_escape(&out, s, strlen(s)) == 0 && stralloc_0(&out))
    printf("%s", out.s);
  stralloc_free(&out);
}

void probe_envelope_print(const struct probe_message *m, const struct session *s)
{
  if (m->n == 0)
    printf("No recipient is known for it there: MAIL was not said.\n");
  for (size_t i = 0; i < m->n; i++) {
    const struct recipient *r = &m->recipient[i];
    printf("Recipient ");
    print_escaped(r->rcpt->address);
    printf("%s", r->is_accepted ? ": accepted" : r->text.len ? ": " : ": not accepted");
    if (!r->is_accepted)
      print_escaped(string_of(&r->text));
    printf(".\n");
  }
  if (m->n > 0 && s->text.len) {
    print_escaped(string_of(&s->text));
    printf(".\n");
  }
}

json_t *probe_envelope_json(const struct probe_message *m, const struct session *s)
{
  json_t *list = json_array();

  for (size_t i = 0; i < m->n; i++) {
    const struct recipient *r = &m->recipient[i];
    json_array_append_new(list, json_pack("{s:o,s:b,s:o}", "address", json_bytes(r->rcpt->address),
                                          "accepted", r->is_accepted, "reply",
                                          r->text.len ? json_bytes(string_of(&r->text)) : json_null()));
  }
  return json_pack("{s:o,s:o,s:o}", "sender", json_bytes(m->e.sender), "recipients", list, "why",
                   m->n > 0 && s->text.len ? json_bytes(string_of(&s->text)) : json_null());
}
