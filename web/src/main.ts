import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { chooseLanguage } from './lib/i18n.svelte';

await chooseLanguage();
const target = document.createElement('div');
target.id = 'app';
document.body.append(target);
mount(App, { target });
