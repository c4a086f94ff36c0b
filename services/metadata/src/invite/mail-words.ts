/** What invitation mails say, per language and kind of invitation. */
import type { MailConfig } from '@parsec/shared/config'
import type { InvitationType, OrganizationID } from '@parsec/shared/protocol/types'

export type Language = MailConfig['language']
export type Words = { subject: string; invited: string; opening: string; next: string }
type Texts = { readonly [T in InvitationType]: (name: string, organization_id: OrganizationID) => Words }

const ENGLISH: Texts = {
  USER: (name, organization_id) => ({
    subject: `[Parsec] ${name} invited you to ${organization_id}`,
    invited: `${name} has invited you to join the organization ${organization_id} on Parsec.`,
    opening: 'Once Parsec is installed, open this link to accept the invitation:',
    next: `Then stay in touch with ${name}, by telephone for example: both of you must be connected at the same time, and compare a few symbols to be sure of each other.`,
  }),
  DEVICE: (_, organization_id) => ({
    subject: `[Parsec] New device invitation to ${organization_id}`,
    invited: `You have received an invitation to add a new device to the organization ${organization_id} on Parsec.`,
    opening: 'Once Parsec is installed on the new device, open this link there:',
    next: 'Keep a device that you already use at hand: both must be connected at the same time, and show the same few symbols.',
  }),
  SHAMIR_RECOVERY: (name, organization_id) => ({
    subject: `[Parsec] Recovery invitation to ${organization_id}`,
    invited: `${name} has invited you to recover your access to the organization ${organization_id} on Parsec.`,
    opening: 'Once Parsec is installed, open this link to start the recovery:',
    next: 'Then ask the people who hold a share of your recovery, one by one, to help you.',
  }),
}

const FRENCH: Texts = {
  USER: (name, organization_id) => ({
    subject: `[Parsec] ${name} vous invite dans ${organization_id}`,
    invited: `${name} vous invite à rejoindre l’organisation ${organization_id} sur Parsec.`,
    opening: 'Une fois Parsec installé, ouvrez ce lien pour accepter l’invitation :',
    next: `Restez ensuite en contact avec ${name}, par téléphone par exemple : vous devez être connectés tous les deux en même temps, et comparer quelques symboles pour être sûrs l’un de l’autre.`,
  }),
  DEVICE: (_, organization_id) => ({
    subject: `[Parsec] Nouvel appareil pour ${organization_id}`,
    invited: `Vous avez reçu une invitation à ajouter un appareil à l’organisation ${organization_id} sur Parsec.`,
    opening: 'Une fois Parsec installé sur le nouvel appareil, ouvrez-y ce lien :',
    next: 'Gardez à portée de main un appareil que vous utilisez déjà : les deux doivent être connectés en même temps, et montrer les mêmes symboles.',
  }),
  SHAMIR_RECOVERY: (name, organization_id) => ({
    subject: `[Parsec] Récupération de l’accès à ${organization_id}`,
    invited: `${name} vous invite à récupérer votre accès à l’organisation ${organization_id} sur Parsec.`,
    opening: 'Une fois Parsec installé, ouvrez ce lien pour commencer la récupération :',
    next: 'Demandez ensuite, l’une après l’autre, aux personnes qui détiennent une part de votre récupération de vous aider.',
  }),
}

export const WORDS: { readonly [L in Language]: Texts } = { en: ENGLISH, fr: FRENCH }

/** Around the words of an invitation. */
export const LINKS: {
  readonly [L in Language]: { download: string; getIt: (url: string) => string; open: string; documentation: string }
} = {
  en: {
    download: 'Download Parsec',
    getIt: url => `Parsec can be downloaded from ${url}`,
    open: 'Open the invitation',
    documentation: 'Documentation',
  },
  fr: {
    download: 'Télécharger Parsec',
    getIt: url => `Parsec se télécharge sur ${url}`,
    open: 'Ouvrir l’invitation',
    documentation: 'Documentation',
  },
}
