/** Shows the OpenAPI document of this server. */
SwaggerUIBundle({ url: '/administration/docs/json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null })
