/* sender.h - may this login send as this sender? Table senders
 *
 * Pure but for the table. */
#ifndef SMTPD_SENDER_H
#define SMTPD_SENDER_H

#include "common/table.h"

/* sender is an address in normal form; the null sender "" is anybody's, for reports. A login
 * is as sasl_login() makes it; one without @ stands for login@domain too. */
int sender_is_allowed(const struct table *t, const char *login, const char *sender, const char *domain);

#endif
