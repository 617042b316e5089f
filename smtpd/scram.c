/* scram.c - the server's side of one SCRAM-SHA-256 exchange
 *
 * Runs in heloise-auth: user hlauth. The library asks through a callback for what it needs;
 * it never gets a password. */
#include "smtpd/scram.h"

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 4096 /* bytes: names, nonces and a binding are far below */

static Gsasl *library;

static int give(Gsasl_session *session, Gsasl_property what, const char *value)
{
  return value ? gsasl_property_set(session, what, value) : GSASL_NO_CALLBACK;
}

/* the library has read the client's name and wants the parameters that go with it */
static int look_up(struct scram *s, Gsasl_session *session)
{
  const char *login = gsasl_property_fast(session, GSASL_AUTHID);

  if (s->found.iterations == 0 && (!login || s->keys(s->arg, login, &s->found) != 0)) {
    s->is_declined = 1;
    return GSASL_AUTHENTICATION_ERROR;
  }
  return GSASL_OK;
}

static int answer(Gsasl *g, Gsasl_session *session, Gsasl_property what)
{
  struct scram *s = gsasl_session_hook_get(session);
  char digits[16];
  int r;

  (void)g;
  switch (what) {
  case GSASL_CB_TLS_EXPORTER:
    return give(session, what, s->exporter);
  case GSASL_CB_TLS_UNIQUE:
    return give(session, what, s->unique);
  default:
    break;
  }
  r = look_up(s, session);
  if (r != GSASL_OK)
    return r;
  switch (what) {
  case GSASL_SCRAM_ITER:
    snprintf(digits, sizeof digits, "%u", s->found.iterations);
    return give(session, what, digits);
  case GSASL_SCRAM_SALT:
    return give(session, what, s->found.salt);
  case GSASL_SCRAM_STOREDKEY:
    return give(session, what, s->found.stored);
  case GSASL_SCRAM_SERVERKEY:
    return give(session, what, s->found.server);
  default:
    return GSASL_NO_CALLBACK;
  }
}

int scram_library(void)
{
  if (library)
    return 0;
  if (gsasl_init(&library) != GSASL_OK)
    return -1;
  gsasl_callback_set(library, answer);
  return 0;
}

int scram_start(struct scram *s, int is_bound)
{
  Gsasl_session *session;

  s->session = NULL;
  s->is_bound = is_bound;
  s->is_declined = s->has_begun = 0;
  s->found = (struct password_scram){.iterations = 0};
  if (!library || gsasl_server_start(library, is_bound ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256",
                                     &session) != GSASL_OK)
    return -1;
  gsasl_session_hook_set(session, s);
  s->session = session;
  return 0;
}

static enum scram_result result_of(const struct scram *s, int r)
{
  if (s->is_declined)
    return SCRAM_DECLINED;
  switch (r) {
  case GSASL_OK:
    return SCRAM_DONE;
  case GSASL_NEEDS_MORE:
    return SCRAM_MORE;
  case GSASL_AUTHENTICATION_ERROR:
    return SCRAM_WRONG;
  case GSASL_MALLOC_ERROR:
    return SCRAM_FAILED;
  default:
    return SCRAM_MALFORMED;
  }
}

enum scram_result scram_step(struct scram *s, const char *bytes, size_t len, stralloc *out)
{
  char text[MESSAGE_MAX + 1], *reply = NULL;
  size_t replylen = 0;
  enum scram_result r;

  out->len = 0;
  if (len == 0 || len > MESSAGE_MAX || memchr(bytes, 0, len))
    return SCRAM_MALFORMED;
  /* the library would take a binding that was not agreed upon, and not look at it */
  if (!s->has_begun && !s->is_bound && *bytes == 'p')
    return SCRAM_WRONG;
  s->has_begun = 1;
  memcpy(text, bytes, len);
  text[len] = 0;
  r = result_of(s, gsasl_step(s->session, text, len, &reply, &replylen));
  if (reply && !stralloc_copyb(out, reply, replylen))
    r = SCRAM_FAILED;
  gsasl_free(reply);
  return r;
}

const char *scram_acts_as(const struct scram *s)
{
  return gsasl_property_fast(s->session, GSASL_AUTHZID);
}

void scram_end(struct scram *s)
{
  if (s->session)
    gsasl_finish(s->session);
  s->session = NULL;
}
