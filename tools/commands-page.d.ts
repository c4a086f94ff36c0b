export declare const commandsPage: () => string;
