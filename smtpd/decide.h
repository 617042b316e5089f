/* decide.h - a session's facts before judge_decide(), and what becomes of the session by it */
#ifndef SMTPD_DECIDE_H
#define SMTPD_DECIDE_H

#include "smtpd/judge.h"
#include "smtpd/session.h"

/* the rule on this client's greetings */
void decide_greeting(const struct session *s, struct access_rule *r);
/* MAIL with this sender, in normal form: REPLY_NONE, and s->mail knows what the tables say; or a
 * refusal */
enum reply decide_mail(struct session *s, const char *sender);
/* RCPT with this address in normal form: REPLY_NONE with *way, or a refusal */
enum reply decide_rcpt(struct session *s, const char *address, const char *domain,
                       int is_postmaster, enum judge_way *way);

/* whose judgements are told step by step; NULL: nobody's */
void decide_trace(void (*saw)(void *arg, const char *what, const char *looked, const char *line,
                              const char *value), void *arg);

#endif
